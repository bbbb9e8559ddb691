/* SPDX-License-Identifier: MIT */
#include "libcommon/io/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/hash.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/io/output.h"

enum { MAX_MANIFEST = 64 << 20, CHUNK = 1 << 18 };

static char *join(const char *dir, const char *name)
{
	struct ft_str s = {0};

	ft_str_addf(&s, "%s%s%s", dir, ft_ends(dir, "/") ? "" : "/", name);
	return s.s;
}

/* Names stay inside the directory: NAME or SUB/NAME. */
static bool plain_name(const char *s)
{
	int slashes = 0;

	for (;;) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') ||
		    (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		if (!s[n])
			return true;
		if (++slashes > 1)
			return false;
		s += n + 1;
	}
}

/* --- digests ------------------------------------------------------------- */

static int digest_fd(int fd, const char *path, char hex[65], uint64_t *size,
		     struct ft_err *err)
{
	struct ft_sha256 h;
	unsigned char *buf = ft_xmalloc(CHUNK);
	ssize_t n;

	ft_sha256_init(&h);
	*size = 0;
	for (;;) {
		n = read(fd, buf, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		ft_sha256_add(&h, buf, (size_t)n);
		*size += (uint64_t)n;
	}
	free(buf);
	if (n < 0)
		return ft_err_sys(err, "cannot read '%s'", path);
	ft_sha256_hex(&h, hex);
	return 0;
}

static int digest_file(const char *path, char hex[65], uint64_t *size,
		       struct ft_err *err)
{
	/* a fifo is refused, not waited for */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	struct stat st;

	if (fd < 0)
		return ft_err_sys(err, "cannot open '%s'", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		r = ft_err_set(err, FT_EXIT_DATA, "'%s' is not a regular file",
			       path);
	else
		r = digest_fd(fd, path, hex, size, err);
	close(fd);
	return r;
}

int ft_file_sha256(const char *path, char hex[65], struct ft_err *err)
{
	uint64_t size;

	return digest_file(path, hex, &size, err);
}

/* --- writing ------------------------------------------------------------- */

int ft_manifest_drop(const char *dir, struct ft_err *err)
{
	char *path = join(dir, FT_MANIFEST);
	int r = 0;

	if (unlink(path) == 0)
		r = ft_sync_dir(dir, err);
	else if (errno != ENOENT && errno != ENOTDIR)
		r = ft_err_sys(err, "cannot remove '%s'", path);
	free(path);
	return r;
}

static int add_file(struct ft_str *b, const char *dir, const char *name,
		    struct ft_err *err)
{
	char *path = join(dir, name), hex[65];
	uint64_t size;
	int r = -1;

	if (!plain_name(name))
		ft_err_set(err, FT_EXIT_DATA, "name '%s' leaves its directory",
			   name);
	else
		r = digest_file(path, hex, &size, err);
	free(path);
	if (r)
		return -1;
	ft_str_add_json(b, name, strlen(name));
	ft_str_addf(b, ":{\"sha256\":\"%s\",\"size\":%" PRIu64 "}", hex, size);
	return 0;
}

int ft_manifest_write(const char *dir, const char *const *files, int n,
		      const char *extra, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_str b = {0}, text = {0};
	struct ft_json *v;
	char *path = join(dir, FT_MANIFEST);
	int r = -1;

	ft_str_adds(&b, "{\"format\":\"1\",\"files\":{");
	for (int i = 0; i < n; i++) {
		if (i)
			ft_str_addc(&b, ',');
		if (add_file(&b, dir, files[i], err))
			goto out;
	}
	ft_str_addc(&b, '}');
	if (extra && *extra)
		ft_str_addf(&b, ",%s", extra);
	ft_str_addc(&b, '}');
	/* read back: it sorts, and a name given twice is found */
	if (ft_json_parse(&a, b.s, b.n, &v, err)) {
		ft_err_at(err, path, 0);
		goto out;
	}
	ft_json_print(v, true, 1, &text);
	ft_str_addc(&text, '\n');
	r = ft_write_file(path, text.s, text.n, err);
out:
	ft_arena_release(&a);
	ft_str_release(&b);
	ft_str_release(&text);
	free(path);
	return r;
}

/* --- checking ------------------------------------------------------------ */

struct manifest {
	struct ft_arena a;
	char *path, *text;
	struct ft_json *v;
};

static void release(struct manifest *m)
{
	ft_arena_release(&m->a);
	free(m->path);
	free(m->text);
}

static int wrong(struct manifest *m, struct ft_err *err, const char *what)
{
	ft_err_set(err, FT_EXIT_DATA, "%s", what);
	return ft_err_at(err, m->path, 0);
}

/* 0, 1 when there is none, -1; release it in any case. */
static int load(struct manifest *m, const char *dir, struct ft_err *err)
{
	const struct ft_json *files, *format;
	size_t n;

	*m = (struct manifest){.path = join(dir, FT_MANIFEST)};
	if (access(m->path, F_OK) && (errno == ENOENT || errno == ENOTDIR))
		return 1;
	m->text = ft_read_file(m->path, MAX_MANIFEST, &n, err);
	if (!m->text)
		return -1;
	if (ft_json_parse(&m->a, m->text, n, &m->v, err))
		return ft_err_at(err, m->path, 0);
	format = ft_json_get(m->v, "format");
	if (!format || format->type != FT_JSON_STRING ||
	    strcmp(format->s, "1") != 0)
		return wrong(m, err, "not a manifest of format 1");
	files = ft_json_get(m->v, "files");
	if (!files || files->type != FT_JSON_OBJECT)
		return wrong(m, err, "manifest has no field 'files'");
	for (const struct ft_json *f = files->child; f; f = f->next) {
		const struct ft_json *h = ft_json_get(f, "sha256");
		const struct ft_json *s = ft_json_get(f, "size");

		if (strlen(f->key) != f->nkey || !plain_name(f->key) || !h ||
		    h->type != FT_JSON_STRING || h->ns != 64 || !s ||
		    !s->is_int || s->i < 0)
			return wrong(m, err, "malformed entry in 'files'");
	}
	return 0;
}

/* Sizes first: they are cheap, and most damage shows in them. */
static int check_entry(const char *dir, const struct ft_json *f, bool digest,
		       struct ft_err *err)
{
	char *path = join(dir, f->key), hex[65];
	int64_t size = ft_json_get(f, "size")->i;
	struct stat st;
	uint64_t n;
	int r = -1;

	if (stat(path, &st)) {
		ft_err_set(err, FT_EXIT_DATA, "listed in the manifest: %s",
			   strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		ft_err_set(err, FT_EXIT_DATA,
			   "listed in the manifest, but no regular file");
	} else if (st.st_size != size) {
		ft_err_set(err, FT_EXIT_DATA,
			   "has %lld bytes, the manifest says %lld",
			   (long long)st.st_size, (long long)size);
	} else if (digest) {
		r = digest_file(path, hex, &n, err);
		if (r == 0 && strcmp(hex, ft_json_get(f, "sha256")->s) != 0)
			r = ft_err_set(
				err, FT_EXIT_DATA,
				"differs from its digest in the manifest");
	} else {
		r = 0;
	}
	if (r)
		ft_err_at(err, path, 0);
	free(path);
	return r;
}

int ft_manifest_check(const char *dir, struct ft_err *err)
{
	struct manifest m;
	int r = load(&m, dir, err);

	for (int digest = 0; r == 0 && digest < 2; digest++) {
		const struct ft_json *f = ft_json_get(m.v, "files")->child;

		for (; r == 0 && f; f = f->next)
			r = check_entry(dir, f, digest, err);
	}
	release(&m);
	return r;
}

/* --- identity ------------------------------------------------------------ */

static bool is_weight(const char *name)
{
	if (name[0] == '.' || strcmp(name, "optimizer.safetensors") == 0)
		return false;
	return strcmp(name, "config.json") == 0 ||
	       ft_ends(name, ".safetensors");
}

struct names {
	char **v;
	size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_weights(const char *dir, struct names *l, struct ft_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool weights = false;

	if (!d)
		return ft_err_sys(err, "cannot open '%s'", dir);
	while ((e = readdir(d))) {
		if (!is_weight(e->d_name))
			continue;
		weights = weights || ft_ends(e->d_name, ".safetensors");
		FT_GROW(l->v, l->n, l->cap, 1);
		l->v[l->n++] = ft_xstrdup(e->d_name);
	}
	closedir(d);
	if (!weights)
		return ft_err_set(err, FT_EXIT_DATA, "no *.safetensors in '%s'",
				  dir);
	qsort(l->v, l->n, sizeof(*l->v), by_name);
	return 0;
}

static int name_digest(const char *dir, const struct ft_json *files,
		       const char *name, char hex[65], struct ft_err *err)
{
	const struct ft_json *f = ft_json_get(files, name);
	struct ft_err ignored;
	char *path;
	int r;

	if (f && check_entry(dir, f, false, &ignored) == 0) {
		memcpy(hex, ft_json_get(f, "sha256")->s, 65);
		return 0;
	}
	path = join(dir, name);
	r = ft_file_sha256(path, hex, err);
	free(path);
	return r;
}

int ft_model_digest(const char *dir, char hex[65], struct ft_err *err)
{
	struct manifest m;
	struct names l = {0};
	struct ft_str line = {0};
	struct ft_sha256 h;
	struct ft_err ignored;
	int r = list_weights(dir, &l, err);
	bool ok = load(&m, dir, &ignored) == 0;

	ft_sha256_init(&h);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		char one[65];

		r = name_digest(dir, ok ? ft_json_get(m.v, "files") : NULL,
				l.v[i], one, err);
		if (r)
			break;
		ft_str_clear(&line);
		ft_str_addf(&line, "%s  %s\n", one, l.v[i]);
		ft_sha256_add(&h, line.s, line.n);
	}
	if (r == 0)
		ft_sha256_hex(&h, hex);
	for (size_t i = 0; i < l.n; i++)
		free(l.v[i]);
	free(l.v);
	ft_str_release(&line);
	release(&m);
	return r;
}
