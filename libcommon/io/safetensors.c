/* SPDX-License-Identifier: MIT */
#include "libcommon/io/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/io/input.h"
#include "libcommon/io/json.h"

/* Enough of a name to find it by. */
#define NAME "'%.120s'"

static const struct {
	char name[8];
	unsigned char size;
} dtypes[FT_NDTYPE] = {
	[FT_BOOL] = {"BOOL", 1},       [FT_U8] = {"U8", 1},
	[FT_I8] = {"I8", 1},           [FT_F8_E5M2] = {"F8_E5M2", 1},
	[FT_F8_E4M3] = {"F8_E4M3", 1}, [FT_I16] = {"I16", 2},
	[FT_U16] = {"U16", 2},         [FT_F16] = {"F16", 2},
	[FT_BF16] = {"BF16", 2},       [FT_I32] = {"I32", 4},
	[FT_U32] = {"U32", 4},         [FT_F32] = {"F32", 4},
	[FT_F64] = {"F64", 8},         [FT_I64] = {"I64", 8},
	[FT_U64] = {"U64", 8},
};

size_t ft_dtype_size(enum ft_dtype t)
{
	return dtypes[t].size;
}

const char *ft_dtype_name(enum ft_dtype t)
{
	return dtypes[t].name;
}

/* Lengths and offsets are plain digits: 1.0 and 1e3 are JSON integers, but no
   other reader takes them. */
static int get_size(const struct ft_json *j, uint64_t *v)
{
	if (!j || j->type != FT_JSON_NUMBER || !j->is_int || j->i < 0)
		return -1;
	for (size_t k = 0; k < j->nraw; k++)
		if (j->raw[k] < '0' || j->raw[k] > '9')
			return -1;
	*v = (uint64_t)j->i;
	return 0;
}

static int get_dtype(const struct ft_json *j, enum ft_dtype *t)
{
	if (!j || j->type != FT_JSON_STRING)
		return -1;
	for (int k = 0; k < FT_NDTYPE; k++)
		if (strlen(dtypes[k].name) == j->ns &&
		    memcmp(dtypes[k].name, j->s, j->ns) == 0) {
			*t = (enum ft_dtype)k;
			return 0;
		}
	return -1;
}

/* numel and nbytes from shape and dtype. */
static int measure(struct ft_tensor *t, struct ft_err *err)
{
	uint64_t n = 1, nbytes;

	for (int d = 0; d < t->ndim; d++)
		if (__builtin_mul_overflow(n, t->shape[d], &n))
			goto big;
	if (__builtin_mul_overflow(n, dtypes[t->dtype].size, &nbytes) ||
	    nbytes > SIZE_MAX / 2)
		goto big;
	t->numel = n;
	t->nbytes = (size_t)nbytes;
	return 0;
big:
	return ft_err_set(err, FT_EXIT_DATA,
			  "tensor " NAME ": its size overflows", t->name);
}

static int get_tensor(struct ft_arena *a, const struct ft_json *j,
		      struct ft_tensor *t, struct ft_err *err)
{
	const struct ft_json *shape = ft_json_get(j, "shape");
	const struct ft_json *off = ft_json_get(j, "data_offsets");
	uint64_t end;

	if (strlen(j->key) != j->nkey)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME ": NUL in its name", j->key);
	if (j->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME ": not an object", j->key);
	*t = (struct ft_tensor){.name = ft_arena_strndup(a, j->key, j->nkey)};
	if (get_dtype(ft_json_get(j, "dtype"), &t->dtype) < 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME ": dtype missing or unknown",
				  t->name);
	if (!shape || shape->type != FT_JSON_ARRAY)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME ": no shape", t->name);
	if (shape->n > FT_ST_MAXDIM)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME ": more than %d dimensions",
				  t->name, FT_ST_MAXDIM);
	for (const struct ft_json *c = shape->child; c; c = c->next)
		if (get_size(c, &t->shape[t->ndim++]) < 0)
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensor " NAME ": bad shape",
					  t->name);
	if (measure(t, err) < 0)
		return -1;
	if (!off || off->type != FT_JSON_ARRAY || off->n != 2 ||
	    get_size(off->child, &t->offset) < 0 ||
	    get_size(off->child->next, &end) < 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME ": bad data_offsets", t->name);
	if (end < t->offset || end - t->offset != t->nbytes)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor " NAME
				  ": data_offsets do not hold %s and shape",
				  t->name, dtypes[t->dtype].name);
	return 0;
}

static int get_meta(struct ft_st *st, const struct ft_json *j,
		    struct ft_err *err)
{
	if (j->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA,
				  "__metadata__ is not an object");
	st->meta = ft_arena_alloc(&st->arena, j->n * sizeof(*st->meta));
	for (const struct ft_json *c = j->child; c; c = c->next) {
		if (c->type != FT_JSON_STRING)
			return ft_err_set(err, FT_EXIT_DATA,
					  "__metadata__ " NAME
					  " is not a string",
					  c->key);
		if (strlen(c->key) != c->nkey || strlen(c->s) != c->ns)
			return ft_err_set(err, FT_EXIT_DATA,
					  "__metadata__ " NAME ": NUL in it",
					  c->key);
		st->meta[st->nmeta++] = (struct ft_meta){
			ft_arena_strndup(&st->arena, c->key, c->nkey),
			ft_arena_strndup(&st->arena, c->s, c->ns)};
	}
	return 0;
}

static int by_offset(const void *va, const void *vb)
{
	const struct ft_tensor *a = va, *b = vb;

	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	if (a->nbytes != b->nbytes)
		return a->nbytes < b->nbytes ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int by_name(const void *va, const void *vb)
{
	const struct ft_tensor *a = va, *b = vb;

	return strcmp(a->name, b->name);
}

/* The tensors in order of offset fill the data section without a hole and
   without overlap. */
static int check_layout(const struct ft_tensor *t, size_t n, uint64_t *ndata,
			struct ft_err *err)
{
	uint64_t pos = 0;

	for (size_t i = 0; i < n; i++) {
		if (t[i].offset != pos)
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensor " NAME " %s", t[i].name,
					  t[i].offset > pos
						  ? "begins after a hole"
						  : "overlaps another");
		if (__builtin_add_overflow(pos, t[i].nbytes, &pos))
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensors overflow");
	}
	if (*ndata == UINT64_MAX)
		*ndata = pos;
	if (pos > *ndata)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"truncated: tensors take %ju bytes, %ju are there",
			(uintmax_t)pos, (uintmax_t)*ndata);
	if (pos < *ndata)
		return ft_err_set(err, FT_EXIT_DATA,
				  "%ju bytes after the last tensor",
				  (uintmax_t)(*ndata - pos));
	return 0;
}

/* Append the tensors of a header to st; returns them sorted by offset at
   st->t + (former n). */
static int parse(struct ft_st *st, const char *hdr, size_t n, uint64_t ndata,
		 struct ft_err *err)
{
	struct ft_arena tmp = {0};
	struct ft_json *root;
	size_t first = st->n;
	int rc = -1;

	if (n == 0 || n > FT_ST_MAXHEADER)
		return ft_err_set(err, FT_EXIT_DATA,
				  "header of %zu bytes; 1 to %u are allowed", n,
				  FT_ST_MAXHEADER);
	if (hdr[0] != '{')
		return ft_err_set(err, FT_EXIT_DATA,
				  "header does not begin with '{'");
	while (hdr[n - 1] == ' ')
		n--;
	if (hdr[n - 1] != '}')
		return ft_err_set(err, FT_EXIT_DATA,
				  "header does not end with '}' and spaces");
	if (ft_json_parse(&tmp, hdr, n, &root, err) < 0)
		goto out;
	if (root->n > FT_ST_MAXTENSORS || st->n > FT_ST_MAXTENSORS - root->n) {
		ft_err_set(err, FT_EXIT_DATA, "more than %u tensors",
			   FT_ST_MAXTENSORS);
		goto out;
	}
	st->t = ft_xrealloc(st->t, st->n + root->n + 1, sizeof(*st->t));
	for (const struct ft_json *c = root->child; c; c = c->next) {
		if (strcmp(c->key, "__metadata__") == 0 &&
		    strlen(c->key) == c->nkey) {
			if (first == 0 && st->nmap <= 1 &&
			    get_meta(st, c, err) < 0)
				goto out;
			continue;
		}
		if (get_tensor(&st->arena, c, &st->t[st->n], err) < 0)
			goto out;
		st->n++;
	}
	qsort(st->t + first, st->n - first, sizeof(*st->t), by_offset);
	if (check_layout(st->t + first, st->n - first, &ndata, err) < 0)
		goto out;
	st->ndata += ndata;
	rc = 0;
out:
	ft_arena_release(&tmp);
	return rc;
}

int ft_st_parse(struct ft_st *st, const char *hdr, size_t n, uint64_t ndata,
		struct ft_err *err)
{
	*st = (struct ft_st){0};
	if (parse(st, hdr, n, ndata, err) == 0)
		return 0;
	ft_st_release(st);
	return -1;
}

void ft_st_forget(const struct ft_st *st, const struct ft_tensor *t)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)t->data, to = from + t->nbytes;

	for (size_t i = 0; i < st->nmap; i++) {
		uintptr_t p = (uintptr_t)st->map[i].p;

		if (from < p || to > p + st->map[i].n)
			continue;
		from = (from + page - 1) / page * page;
		to = to / page * page;
		if (from < to)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
		return;
	}
}

void ft_st_release(struct ft_st *st)
{
	for (size_t i = 0; i < st->nmap; i++)
		munmap(st->map[i].p, st->map[i].n);
	free(st->map);
	free(st->t);
	ft_arena_release(&st->arena);
	*st = (struct ft_st){0};
}

/* Map a whole regular file; the mapping is st's. */
static int map_file(struct ft_st *st, const char *path, struct ft_err *err)
{
	/* a fifo is refused below, not waited for */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat sb;
	void *p;
	int rc = -1;

	if (fd < 0)
		return ft_err_sys(err, "cannot open");
	if (fstat(fd, &sb) < 0) {
		ft_err_sys(err, "cannot stat");
		goto out;
	}
	if (!S_ISREG(sb.st_mode)) {
		ft_err_set(err, FT_EXIT_DATA, "not a regular file");
		goto out;
	}
	if (sb.st_size < 8) {
		ft_err_set(err, FT_EXIT_DATA,
			   "truncated: %jd bytes are no safetensors file",
			   (intmax_t)sb.st_size);
		goto out;
	}
	p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		ft_err_sys(err, "cannot map");
		goto out;
	}
	st->map = ft_xrealloc(st->map, st->nmap + 1, sizeof(*st->map));
	st->map[st->nmap].p = p;
	st->map[st->nmap++].n = (size_t)sb.st_size;
	rc = 0;
out:
	close(fd);
	return rc;
}

/* Append a file's tensors, sorted by offset, with their data. */
static int add_file(struct ft_st *st, const char *path, struct ft_err *err)
{
	size_t first = st->n, size;
	const unsigned char *p;
	uint64_t len = 0;

	if (map_file(st, path, err) < 0)
		return ft_err_at(err, path, 0);
	p = st->map[st->nmap - 1].p;
	size = st->map[st->nmap - 1].n;
	for (int i = 0; i < 8; i++)
		len |= (uint64_t)p[i] << (8 * i);
	if (len > FT_ST_MAXHEADER) {
		ft_err_set(err, FT_EXIT_DATA,
			   "header of %ju bytes: not a safetensors file",
			   (uintmax_t)len);
		return ft_err_at(err, path, 0);
	}
	if (len > size - 8) {
		ft_err_set(err, FT_EXIT_DATA,
			   "truncated: header of %ju bytes, %zu are there",
			   (uintmax_t)len, size - 8);
		return ft_err_at(err, path, 0);
	}
	if (parse(st, (const char *)p + 8, (size_t)len, size - 8 - len, err) <
	    0)
		return ft_err_at(err, path, 0);
	for (size_t i = first; i < st->n; i++)
		st->t[i].data = p + 8 + len + st->t[i].offset;
	return 0;
}

int ft_st_open(struct ft_st *st, const char *path, struct ft_err *err)
{
	*st = (struct ft_st){0};
	if (add_file(st, path, err) < 0) {
		ft_st_release(st);
		return -1;
	}
	qsort(st->t, st->n, sizeof(*st->t), by_name);
	st->by_name = true;
	return 0;
}

/* Index entries, sorted by shard, then by tensor. */
static int by_shard(const void *va, const void *vb)
{
	const struct ft_json *const *a = va, *const *b = vb;
	int c = strcmp((*a)->s, (*b)->s);

	return c ? c : strcmp((*a)->key, (*b)->key);
}

static bool plain_name(const struct ft_json *j)
{
	return j->type == FT_JSON_STRING && strlen(j->s) == j->ns &&
	       strlen(j->key) == j->nkey && j->s[0] != '.' &&
	       !strpbrk(j->s, "/\\") && ft_ends(j->s, ".safetensors");
}

/* One shard holds exactly the n tensors that the index e says. */
static int add_shard(struct ft_st *st, const char *dir,
		     const struct ft_json *const *e, size_t n,
		     struct ft_err *err)
{
	struct ft_str path = {0};
	size_t first = st->n;
	int rc = -1;

	ft_str_addf(&path, "%s/%s", dir, e[0]->s);
	if (add_file(st, path.s, err) < 0)
		goto out;
	qsort(st->t + first, st->n - first, sizeof(*st->t), by_name);
	for (size_t i = 0; i < n || i < st->n - first; i++) {
		const char *said = i < n ? e[i]->key : NULL;
		const char *have =
			first + i < st->n ? st->t[first + i].name : NULL;
		int c = !have ? -1 : !said ? 1 : strcmp(said, have);

		if (c == 0)
			continue;
		ft_err_set(err, FT_EXIT_DATA,
			   c < 0 ? "tensor " NAME
				   " is missing; the index has it here"
				 : "tensor " NAME " is not here by the index",
			   c < 0 ? said : have);
		ft_err_at(err, path.s, 0);
		goto out;
	}
	rc = 0;
out:
	ft_str_release(&path);
	return rc;
}

static int add_index(struct ft_st *st, const char *dir,
		     const struct ft_json *root, struct ft_err *err)
{
	const struct ft_json *map = ft_json_get(root, "weight_map");
	const struct ft_json **e = NULL;
	size_t n = 0, nshard = 0;
	int rc = -1;

	if (!map || map->type != FT_JSON_OBJECT || map->n == 0)
		return ft_err_set(err, FT_EXIT_DATA, "no weight_map");
	if (map->n > FT_ST_MAXTENSORS)
		return ft_err_set(err, FT_EXIT_DATA, "more than %u tensors",
				  FT_ST_MAXTENSORS);
	e = ft_xcalloc(map->n, sizeof(*e));
	for (const struct ft_json *c = map->child; c; c = c->next) {
		if (!plain_name(c)) {
			ft_err_set(
				err, FT_EXIT_DATA,
				"tensor " NAME
				": its shard is no plain name of a .safetensors file",
				c->key);
			goto out;
		}
		e[n++] = c;
	}
	qsort(e, n, sizeof(*e), by_shard);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && strcmp(e[i]->s, e[k]->s) == 0; k++)
			;
		if (++nshard > FT_ST_MAXSHARDS) {
			ft_err_set(err, FT_EXIT_DATA, "more than %u shards",
				   FT_ST_MAXSHARDS);
			goto out;
		}
		if (add_shard(st, dir, e + i, k - i, err) < 0)
			goto out;
	}
	rc = 0;
out:
	free(e);
	return rc;
}

static int open_sharded(struct ft_st *st, const char *dir, const char *path,
			struct ft_err *err)
{
	struct ft_arena tmp = {0};
	struct ft_json *root;
	char *text;
	size_t n;
	int rc;

	text = ft_read_file(path, FT_ST_MAXHEADER, &n, err);
	if (!text)
		return -1;
	rc = ft_json_parse(&tmp, text, n, &root, err);
	if (rc == 0)
		rc = add_index(st, dir, root, err);
	if (rc < 0) {
		ft_err_at(err, path, 0);
		ft_st_release(st);
	} else {
		qsort(st->t, st->n, sizeof(*st->t), by_name);
		st->by_name = true;
	}
	ft_arena_release(&tmp);
	free(text);
	return rc;
}

int ft_st_open_dir(struct ft_st *st, const char *dir, struct ft_err *err)
{
	struct ft_str one = {0}, index = {0};
	int rc;

	*st = (struct ft_st){0};
	ft_str_addf(&one, "%s/model.safetensors", dir);
	ft_str_addf(&index, "%s/model.safetensors.index.json", dir);
	/* A directory without either is reported by the plainer name. */
	if (access(one.s, F_OK) < 0 && access(index.s, F_OK) == 0)
		rc = open_sharded(st, dir, index.s, err);
	else
		rc = ft_st_open(st, one.s, err);
	ft_str_release(&one);
	ft_str_release(&index);
	return rc;
}

const struct ft_tensor *ft_st_find(const struct ft_st *st, const char *name)
{
	struct ft_tensor key = {.name = name};

	if (st->n == 0)
		return NULL;
	if (st->by_name)
		return bsearch(&key, st->t, st->n, sizeof(*st->t), by_name);
	for (size_t i = 0; i < st->n; i++)
		if (strcmp(st->t[i].name, name) == 0)
			return &st->t[i];
	return NULL;
}

const char *ft_st_meta(const struct ft_st *st, const char *key)
{
	for (size_t i = 0; i < st->nmeta; i++)
		if (strcmp(st->meta[i].key, key) == 0)
			return st->meta[i].value;
	return NULL;
}

static int by_pointed(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No name twice: other readers would refuse the file. */
static int check_unique(const char **v, size_t n, struct ft_err *err)
{
	qsort(v, n, sizeof(*v), by_pointed);
	for (size_t i = 1; i < n; i++)
		if (strcmp(v[i - 1], v[i]) == 0)
			return ft_err_set(err, FT_EXIT_DATA,
					  "name " NAME " is there twice", v[i]);
	return 0;
}

static int check_names(const struct ft_tensor *t, size_t n,
		       const struct ft_meta *meta, size_t nmeta,
		       struct ft_err *err)
{
	const char **v = ft_xcalloc(n + nmeta + 1, sizeof(*v));
	int rc;

	for (size_t i = 0; i < n; i++)
		v[i] = t[i].name;
	v[n] = "__metadata__";
	rc = check_unique(v, n + 1, err);
	for (size_t i = 0; i < nmeta; i++)
		v[i] = meta[i].key;
	if (rc == 0)
		rc = check_unique(v, nmeta, err);
	free(v);
	return rc;
}

static void add_meta(struct ft_str *out, const struct ft_meta *meta, size_t n)
{
	ft_str_adds(out, "\"__metadata__\":{");
	for (size_t i = 0; i < n; i++) {
		if (i)
			ft_str_addc(out, ',');
		ft_str_add_json(out, meta[i].key, strlen(meta[i].key));
		ft_str_addc(out, ':');
		ft_str_add_json(out, meta[i].value, strlen(meta[i].value));
	}
	ft_str_addc(out, '}');
}

static void add_tensor(struct ft_str *out, const struct ft_tensor *t)
{
	ft_str_add_json(out, t->name, strlen(t->name));
	ft_str_addf(out, ":{\"dtype\":\"%s\",\"shape\":[",
		    dtypes[t->dtype].name);
	for (int d = 0; d < t->ndim; d++)
		ft_str_addf(out, "%s%ju", d ? "," : "", (uintmax_t)t->shape[d]);
	ft_str_addf(out, "],\"data_offsets\":[%ju,%ju]}", (uintmax_t)t->offset,
		    (uintmax_t)(t->offset + t->nbytes));
}

int ft_st_header(struct ft_tensor *t, size_t n, const struct ft_meta *meta,
		 size_t nmeta, uint64_t start, size_t align, struct ft_str *out,
		 struct ft_err *err)
{
	size_t base = out->n, len;
	uint64_t pos = 0;

	if (check_names(t, n, meta, nmeta, err) < 0)
		return -1;
	ft_str_add(out, "\0\0\0\0\0\0\0", 8);
	ft_str_addc(out, '{');
	if (nmeta)
		add_meta(out, meta, nmeta);
	for (size_t i = 0; i < n; i++) {
		if (measure(&t[i], err) < 0)
			return -1;
		t[i].offset = pos;
		if (__builtin_add_overflow(pos, t[i].nbytes, &pos))
			return ft_err_set(err, FT_EXIT_DATA,
					  "tensors overflow");
		if (i || nmeta)
			ft_str_addc(out, ',');
		add_tensor(out, &t[i]);
	}
	ft_str_addc(out, '}');
	while ((start + (out->n - base)) % align)
		ft_str_addc(out, ' ');
	len = out->n - base - 8;
	if (len > FT_ST_MAXHEADER)
		return ft_err_set(err, FT_EXIT_DATA,
				  "header of %zu bytes; %u are allowed", len,
				  FT_ST_MAXHEADER);
	for (int i = 0; i < 8; i++)
		out->s[base + (size_t)i] = (char)((uint64_t)len >> (8 * i));
	return 0;
}

/* Bytes made at a time: a multiple of every element's size. */
enum { PIECE = 1 << 20 };

static int by_width(const void *va, const void *vb)
{
	const struct ft_tensor *a = va, *b = vb;

	if (dtypes[a->dtype].size != dtypes[b->dtype].size)
		return dtypes[a->dtype].size > dtypes[b->dtype].size ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int write_data(struct ft_output *out, const struct ft_tensor *t,
		      ft_st_fill *fill, void *self, void *buf,
		      struct ft_err *err)
{
	size_t n = t->nbytes;

	if (!fill)
		return n ? ft_output_write(out, t->data, n, err) : 0;
	for (size_t at = 0; at < t->nbytes; at += n) {
		n = t->nbytes - at < PIECE ? t->nbytes - at : PIECE;
		fill(self, t, at, n, buf);
		if (ft_output_write(out, buf, n, err) < 0)
			return -1;
	}
	return 0;
}

int ft_st_write(const char *path, struct ft_tensor *t, size_t n,
		const struct ft_meta *meta, size_t nmeta, struct ft_err *err)
{
	return ft_st_write_from(path, t, n, meta, nmeta, NULL, NULL, err);
}

int ft_st_write_from(const char *path, struct ft_tensor *t, size_t n,
		     const struct ft_meta *meta, size_t nmeta, ft_st_fill *fill,
		     void *self, struct ft_err *err)
{
	struct ft_output *out = NULL;
	struct ft_str hdr = {0};
	void *buf = fill ? ft_xmalloc(PIECE) : NULL;
	int rc = -1;

	if (n)
		qsort(t, n, sizeof(*t), by_width);
	if (ft_st_header(t, n, meta, nmeta, 0, 64, &hdr, err) < 0) {
		ft_err_at(err, path ? path : "-", 0);
		goto out;
	}
	if (ft_output_open(&out, path, false, err) < 0 ||
	    ft_output_write(out, hdr.s, hdr.n, err) < 0)
		goto out;
	for (size_t i = 0; i < n; i++) {
		if (write_data(out, &t[i], fill, self, buf, err) < 0)
			goto out;
	}
	rc = ft_output_commit(out, err);
	out = NULL;
out:
	if (out)
		ft_output_abort(out);
	ft_str_release(&hdr);
	free(buf);
	return rc;
}

/* Blocks of a fixed size, so that compilers make vectors of them at -O2. */
enum { BLOCK = 64 };

static void from_bf16(float *dst, const uint16_t *h)
{
	uint32_t u[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		u[i] = (uint32_t)h[i] << 16;
	memcpy(dst, u, sizeof(u));
}

/*
 * The 15 bits below the sign, moved to where float32 has them, are the value
 * times 2^-112, subnormals included; only infinities and NaNs need their
 * exponent filled.
 */
static void from_f16(float *dst, const uint16_t *h)
{
	float f[BLOCK];
	uint32_t u[BLOCK];

	for (int i = 0; i < BLOCK; i++)
		u[i] = (uint32_t)(h[i] & 0x7fff) << 13;
	memcpy(f, u, sizeof(u));
	for (int i = 0; i < BLOCK; i++)
		f[i] *= 0x1p112f;
	memcpy(u, f, sizeof(u));
	for (int i = 0; i < BLOCK; i++) {
		uint32_t special = 0u - (uint32_t)((h[i] & 0x7c00) == 0x7c00);

		u[i] |= (special & 0x7f800000u) | (uint32_t)(h[i] & 0x8000)
							  << 16;
	}
	memcpy(dst, u, sizeof(u));
}

int ft_to_f32(float *dst, const void *src, enum ft_dtype dtype, size_t n)
{
	const unsigned char *p = src;
	float out[BLOCK];
	union {
		uint16_t h[BLOCK];
		double d[BLOCK];
	} in;

	if (dtype != FT_F16 && dtype != FT_BF16 && dtype != FT_F32 &&
	    dtype != FT_F64)
		return -1;
	if (dtype == FT_F32) {
		if (n)
			memcpy(dst, src, n * sizeof(*dst));
		return 0;
	}
	memset(&in, 0, sizeof(in));
	for (size_t i = 0; i < n; i += BLOCK) {
		size_t k = n - i < BLOCK ? n - i : BLOCK;

		memcpy(&in, p + i * dtypes[dtype].size, k * dtypes[dtype].size);
		if (dtype == FT_BF16)
			from_bf16(out, in.h);
		else if (dtype == FT_F16)
			from_f16(out, in.h);
		else
			for (int j = 0; j < BLOCK; j++)
				out[j] = (float)in.d[j];
		memcpy(dst + i, out, k * sizeof(*dst));
	}
	return 0;
}

uint16_t ft_bf16(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
