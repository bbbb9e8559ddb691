/* SPDX-License-Identifier: MIT */
#include "libcommon/io/shards.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"

enum { COPY_MAX = 1 << 30, ALIGN = 64, NAME_SIZE = 64 };

static const char one_file[] = "model.safetensors";
static const char index_file[] = "model.safetensors.index.json";

/* --- files ---------------------------------------------------------------- */

void ft_files_add(struct ft_files *f, const char *name)
{
	FT_GROW(f->v, f->n, f->cap, 1);
	f->v[f->n++] = ft_xstrdup(name);
}

void ft_files_release(struct ft_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i]);
	free(f->v);
	*f = (struct ft_files){0};
}

static char *join(const char *dir, const char *name)
{
	struct ft_str s = {0};

	ft_str_addf(&s, "%s/%s", dir, name);
	return s.s;
}

int ft_files_write(struct ft_files *f, const char *dir, const char *name,
		   const void *p, size_t n, struct ft_err *err)
{
	char *path = join(dir, name);
	int rc = ft_write_file(path, p, n, err);

	if (!rc)
		ft_files_add(f, name);
	free(path);
	return rc;
}

int ft_files_copy(struct ft_files *f, const char *dir, const char *from,
		  const char *name, struct ft_err *err)
{
	char *path = join(from, name), *text;
	size_t n;
	int rc = 0;

	if (access(path, F_OK) == 0) {
		text = ft_read_file(path, COPY_MAX, &n, err);
		rc = text && !ft_files_write(f, dir, name, text, n, err) ? 1
									 : -1;
		free(text);
	} else if (errno != ENOENT && errno != ENOTDIR) {
		rc = ft_err_sys(err, "cannot open '%s'", path);
	}
	free(path);
	return rc;
}

int ft_files_tokenizer(struct ft_files *f, const char *dir,
		       const char *const *from, size_t nfrom,
		       struct ft_err *err)
{
	static const char *const names[] = {
		"tokenizer.json",
		"tokenizer_config.json",
		"special_tokens_map.json",
		"added_tokens.json",
		"vocab.json",
		"merges.txt",
		"tokenizer.model",
		"chat_template.jinja",
		"chat_template.json",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int rc = 0;

		for (size_t k = 0; k < nfrom && !rc; k++) {
			if (from[k])
				rc = ft_files_copy(f, dir, from[k], names[i],
						   err);
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* --- weights -------------------------------------------------------------- */

/* Sizes and, in file[i], which shard tensor i goes to. */
static int plan(struct ft_tensor *t, size_t n, uint64_t max, size_t *file,
		size_t *nfiles, struct ft_err *err)
{
	uint64_t used = 0, size;
	size_t shard = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t numel = 1;

		for (int d = 0; d < t[i].ndim; d++) {
			if (__builtin_mul_overflow(numel, t[i].shape[d],
						   &numel))
				return ft_err_set(err, FT_EXIT_DATA,
						  "tensor '%.150s' overflows",
						  t[i].name);
		}
		if (__builtin_mul_overflow(numel, ft_dtype_size(t[i].dtype),
					   &size))
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensor '%.150s' overflows",
					  t[i].name);
		if (used && (size > max || used > max - size)) {
			shard++;
			used = 0;
		}
		used += size;
		t[i].numel = numel;
		t[i].nbytes = (size_t)size;
		file[i] = shard;
	}
	*nfiles = shard + 1;
	return 0;
}

static void shard_name(char *name, size_t i, size_t n)
{
	if (n == 1)
		snprintf(name, NAME_SIZE, "%s", one_file);
	else
		snprintf(name, NAME_SIZE, "model-%05zu-of-%05zu.safetensors",
			 i + 1, n);
}

static int by_width(const void *va, const void *vb)
{
	const struct ft_tensor *a = va, *b = vb;
	size_t x = ft_dtype_size(a->dtype), y = ft_dtype_size(b->dtype);

	return x != y ? (x < y ? 1 : -1) : strcmp(a->name, b->name);
}

static int write_tensors(const struct ft_tensor *t, size_t n, ft_shards_fn *fn,
			 void *arg, struct ft_output *out, struct ft_err *err)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t at = ft_output_tell(out);

		if (fn(arg, &t[i], out, err) < 0)
			return -1;
		if (ft_output_tell(out) - at != t[i].nbytes)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"tensor '%.150s' was not written whole",
				t[i].name);
	}
	return 0;
}

static int write_shard(struct ft_files *f, const char *dir, const char *name,
		       struct ft_tensor *t, size_t n, ft_shards_fn *fn,
		       void *arg, struct ft_err *err)
{
	static const struct ft_meta meta[] = {{"format", "pt"}};
	char *path = join(dir, name);
	struct ft_output *out = NULL;
	struct ft_str hdr = {0};
	int rc = -1;

	if (n)
		qsort(t, n, sizeof(*t), by_width);
	if (ft_st_header(t, n, meta, 1, 0, ALIGN, &hdr, err) < 0 ||
	    ft_output_open(&out, path, false, err) < 0)
		goto out;
	if (ft_output_write(out, hdr.s, hdr.n, err) < 0 ||
	    write_tensors(t, n, fn, arg, out, err) < 0) {
		ft_output_abort(out);
		goto out;
	}
	rc = ft_output_commit(out, err);
	if (!rc)
		ft_files_add(f, name);
out:
	ft_str_release(&hdr);
	free(path);
	return rc;
}

static int by_pointed(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int write_index(struct ft_files *f, const char *dir,
		       const struct ft_tensor *t, size_t n, const size_t *file,
		       size_t nfiles, struct ft_err *err)
{
	const char **line = ft_xcalloc(n, sizeof(*line));
	struct ft_str s = {0}, one = {0};
	struct ft_arena a = {0};
	uint64_t bytes = 0, params = 0;
	char name[NAME_SIZE];
	int rc;

	for (size_t i = 0; i < n; i++) {
		bytes += t[i].nbytes;
		params += t[i].numel;
		shard_name(name, file[i], nfiles);
		ft_str_clear(&one);
		ft_str_add_json(&one, t[i].name, strlen(t[i].name));
		ft_str_addf(&one, ": \"%s\"", name);
		line[i] = ft_arena_strndup(&a, one.s, one.n);
	}
	qsort(line, n, sizeof(*line), by_pointed);
	ft_str_addf(&s,
		    "{\n  \"metadata\": {\n    \"total_parameters\": %" PRIu64
		    ",\n    \"total_size\": %" PRIu64
		    "\n  },\n  \"weight_map\": {",
		    params, bytes);
	for (size_t i = 0; i < n; i++)
		ft_str_addf(&s, "%s\n    %s", i ? "," : "", line[i]);
	ft_str_adds(&s, "\n  }\n}\n");
	rc = ft_files_write(f, dir, index_file, s.s, s.n, err);
	ft_arena_release(&a);
	ft_str_release(&s);
	ft_str_release(&one);
	free(line);
	return rc;
}

static bool listed(const struct ft_files *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (!strcmp(f->v[i], name))
			return true;
	}
	return false;
}

/* A reader would take old weights for part of the model. */
static int remove_stale(const struct ft_files *f, const char *dir,
			struct ft_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return ft_err_sys(err, "cannot open '%s'", dir);
	while (!rc && (e = readdir(d))) {
		bool weights = ft_starts(e->d_name, "model-") &&
			       ft_ends(e->d_name, ".safetensors");

		if ((!weights && strcmp(e->d_name, one_file) != 0 &&
		     strcmp(e->d_name, index_file) != 0) ||
		    listed(f, e->d_name))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) && errno != ENOENT)
			rc = ft_err_sys(err, "cannot remove '%s/%s'", dir,
					e->d_name);
	}
	closedir(d);
	return rc;
}

int ft_shards_write(struct ft_files *f, const char *dir, struct ft_tensor *t,
		    size_t n, uint64_t max, ft_shards_fn *fn, void *arg,
		    struct ft_err *err)
{
	size_t *file = ft_xcalloc(n + 1, sizeof(*file)), nfiles = 0;
	int rc = plan(t, n, max, file, &nfiles, err);

	for (size_t i = 0, j = 0; !rc && i < nfiles; i++) {
		size_t from = j;
		char name[NAME_SIZE];

		while (j < n && file[j] == i)
			j++;
		shard_name(name, i, nfiles);
		rc = write_shard(f, dir, name, t + from, j - from, fn, arg,
				 err);
	}
	if (!rc && nfiles > 1)
		rc = write_index(f, dir, t, n, file, nfiles, err);
	if (!rc)
		rc = remove_stale(f, dir, err);
	free(file);
	return rc;
}
