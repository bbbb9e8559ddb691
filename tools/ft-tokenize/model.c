/* SPDX-License-Identifier: MIT */
/* Where a model directory keeps its tokenizer. */
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "tools/ft-tokenize/tokenize.h"

enum { MAX_CONFIG = 1 << 24 };

static bool there(const char *dir, const char *name)
{
	struct ft_str path = {0};
	bool yes;

	ft_str_addf(&path, "%s/%s", dir, name);
	yes = access(ft_str_cstr(&path), F_OK) == 0;
	ft_str_release(&path);
	return yes;
}

/* DIR/name parsed into a; 1, 0 when there is none, -1. */
static int config(struct ft_arena *a, const char *dir, const char *name,
		  struct ft_json **out, struct ft_err *err)
{
	struct ft_str path = {0};
	char *s = NULL;
	size_t n;
	int rc = -1;

	if (!there(dir, name))
		return 0;
	ft_str_addf(&path, "%s/%s", dir, name);
	s = ft_read_file(ft_str_cstr(&path), MAX_CONFIG, &n, err);
	if (s && !ft_json_parse(a, ft_arena_strndup(a, s, n), n, out, err))
		rc = 1;
	else if (s)
		ft_err_at(err, path.s, 0);
	free(s);
	ft_str_release(&path);
	return rc;
}

/* The base that an adapter names: as it stands, else beside the adapter. */
static int adapter_base(const char *dir, struct ft_str *out, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *c = NULL;
	const char *s;
	size_t n;
	int rc = config(&a, dir, "adapter_config.json", &c, err);

	if (rc > 0) {
		rc = ft_json_str(c, "base_model_name_or_path", &s, &n, err);
		if (rc > 0) {
			ft_str_clear(out);
			ft_str_adds(out, s);
			if (access(s, F_OK) && *s != '/') {
				ft_str_clear(out);
				ft_str_addf(out, "%s/%s", dir, s);
			}
		}
	}
	ft_arena_release(&a);
	return rc < 0 ? -1 : 0;
}

int find_model(const char *dir, const char *base, struct ft_str *out,
	       int64_t *vocab_size, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *c = NULL;
	const struct ft_json *from;
	int rc = 0;

	if (access(dir, F_OK))
		return ft_err_sys(err, "cannot open '%s'", dir);
	ft_str_adds(out, dir);
	if (!there(dir, "tokenizer.json") &&
	    there(dir, "adapter_config.json")) {
		if (base) {
			ft_str_clear(out);
			ft_str_adds(out, base);
		} else if (adapter_base(dir, out, err)) {
			return -1;
		}
	}
	*vocab_size = 0;
	rc = config(&a, ft_str_cstr(out), "config.json", &c, err);
	if (rc > 0) {
		from = ft_json_get(c, "vocab_size")
			       ? c
			       : ft_json_get(c, "text_config");
		rc = ft_json_int(from, "vocab_size", vocab_size, err);
	}
	if (rc >= 0 && (*vocab_size < 0 || *vocab_size > INT32_MAX))
		rc = ft_err_set(err, FT_EXIT_DATA,
				"config.json: vocab_size is out of range");
	ft_arena_release(&a);
	return rc < 0 ? -1 : 0;
}
