/* SPDX-License-Identifier: MIT */
#include "libcommon/nn/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define STATE ".quant_state.bitsandbytes__"

enum { NAME = 512, STATE_MAX = 65536 };

static const char *const sides[] = {
	".absmax",           ".quant_map", ".nested_absmax",
	".nested_quant_map", STATE "nf4",
};

int ft_quant_config(const struct ft_json *o, struct ft_err *err)
{
	const char *method = "bitsandbytes", *type = "nf4";
	bool four = false;
	size_t n;

	if (o->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA,
				  "quantization_config is not an object");
	if (ft_json_str(o, "quant_method", &method, &n, err) < 0 ||
	    ft_json_str(o, "bnb_4bit_quant_type", &type, &n, err) < 0 ||
	    ft_json_bool(o, "load_in_4bit", &four, err) < 0)
		return -1;
	if (strcmp(method, "bitsandbytes") != 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"weights quantised by '%.64s' are not supported (supported: bitsandbytes, nf4)",
			method);
	if (!four)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"weights quantised by bitsandbytes to 8 bits are not supported (4 bits, nf4, are)");
	if (strcmp(type, "nf4") != 0)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"4-bit weights of type '%.64s' are not supported (nf4 is)",
			type);
	return 0;
}

/* --- tensors ------------------------------------------------------------- */

static const struct ft_tensor *side(const struct ft_st *st, const char *name,
				    const char *what)
{
	char s[NAME];
	int n = snprintf(s, sizeof(s), "%s.weight%s", name, what);

	return n > 0 && (size_t)n < sizeof(s) ? ft_st_find(st, s) : NULL;
}

/* A tensor of exactly so many elements, whatever its dimensions. */
static int need(const void **data, const struct ft_st *st, const char *name,
		const char *what, enum ft_dtype dtype, size_t numel,
		struct ft_err *err)
{
	const struct ft_tensor *t = side(st, name, what);

	if (!t)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor '%.150s.weight%s' is missing", name,
				  what);
	if (t->dtype != dtype || t->numel != numel)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"tensor '%.150s.weight%s' is not %zu of type %s", name,
			what, numel, ft_dtype_name(dtype));
	*data = t->data;
	return 0;
}

/* --- the description ----------------------------------------------------- */

struct state {
	enum ftk_type dtype;
	bool nested;
	float offset;
};

static int need_int(const struct ft_json *o, const char *key, int64_t want,
		    struct ft_err *err)
{
	int64_t i = 0;

	if (ft_json_int(o, key, &i, err) < 0)
		return -1;
	if (i != want)
		return ft_err_set(err, FT_EXIT_DATA,
				  "%s %lld is not supported (%lld is)", key,
				  (long long)i, (long long)want);
	return 0;
}

static int need_str(const struct ft_json *o, const char *key, const char *want,
		    struct ft_err *err)
{
	const char *s = "";
	size_t n;

	if (ft_json_str(o, key, &s, &n, err) < 0)
		return -1;
	if (strcmp(s, want) != 0)
		return ft_err_set(err, FT_EXIT_DATA,
				  "%s '%.64s' is not supported (%s is)", key, s,
				  want);
	return 0;
}

static int get_dtype(struct state *s, const struct ft_json *o,
		     struct ft_err *err)
{
	static const struct {
		const char *name;
		enum ftk_type type;
	} types[] = {{"float32", FTK_F32},
		     {"bfloat16", FTK_BF16},
		     {"float16", FTK_F16}};
	const char *name = "";
	size_t n;

	if (ft_json_str(o, "dtype", &name, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		s->dtype = types[i].type;
		if (!strcmp(name, types[i].name))
			return 0;
	}
	return ft_err_set(
		err, FT_EXIT_DATA,
		"dtype '%.64s' is not supported (float32, bfloat16, float16 are)",
		name);
}

static int get_shape(const struct ft_json *o, size_t n, size_t k,
		     struct ft_err *err)
{
	const struct ft_json *a = ft_json_get(o, "shape");
	const struct ft_json *x = ft_json_at(a, 0), *y = ft_json_at(a, 1);

	if (a && a->type == FT_JSON_ARRAY && a->n == 2 && x->is_int &&
	    y->is_int && x->i >= 0 && y->i >= 0 && (size_t)x->i == n &&
	    (size_t)y->i == k)
		return 0;
	return ft_err_set(err, FT_EXIT_DATA, "shape is not [%zu, %zu]", n, k);
}

static int parse(struct state *s, const struct ft_json *o, size_t n, size_t k,
		 struct ft_err *err)
{
	double offset = NAN;

	if (need_str(o, "quant_type", "nf4", err) < 0 ||
	    need_int(o, "blocksize", FT_NF4_BLOCK, err) < 0 ||
	    get_dtype(s, o, err) < 0 || get_shape(o, n, k, err) < 0)
		return -1;
	s->nested = ft_json_get(o, "nested_blocksize") != NULL;
	if (!s->nested)
		return 0;
	if (need_int(o, "nested_blocksize", FT_NF4_GROUP, err) < 0 ||
	    need_str(o, "nested_dtype", "float32", err) < 0 ||
	    ft_json_real(o, "nested_offset", &offset, err) < 0)
		return -1;
	s->offset = (float)offset;
	if (!isfinite(s->offset))
		return ft_err_set(err, FT_EXIT_DATA,
				  "nested_offset is not a finite number");
	return 0;
}

static int get_state(struct state *s, const struct ft_tensor *t, size_t n,
		     size_t k, struct ft_err *err)
{
	struct ft_arena a = {0};
	struct ft_json *o;
	int rc = -1;

	*s = (struct state){0};
	if (t->dtype != FT_U8 || t->numel > STATE_MAX)
		ft_err_set(err, FT_EXIT_DATA, "it is not some bytes of JSON");
	else if (ft_json_parse(&a, t->data, t->nbytes, &o, err) == 0)
		rc = parse(s, o, n, k, err);
	if (rc < 0)
		ft_err_at(err, t->name, 0);
	ft_arena_release(&a);
	return rc;
}

int ft_quant_find(const struct ft_st *st, const char *name, size_t n, size_t k,
		  struct ftk_nf4 *q, struct ft_err *err)
{
	size_t blocks = (n * k + FT_NF4_BLOCK - 1) / FT_NF4_BLOCK;
	const struct ft_tensor *t = side(st, name, STATE "nf4"), *w;
	struct state s;

	if (!t)
		return 0;
	w = side(st, name, "");
	if (!w)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor '%.150s.weight' is missing", name);
	if (get_state(&s, t, n, k, err) < 0)
		return -1;
	/* of whatever type: only its bytes count */
	if (w->nbytes != n * k / 2 + n * k % 2)
		return ft_err_set(err, FT_EXIT_DATA,
				  "tensor '%.150s.weight' is not %zu bytes",
				  name, n * k / 2 + n * k % 2);
	*q = (struct ftk_nf4){
		.code = w->data, .offset = s.offset, .round = s.dtype};
	if (need(&q->value, st, name, ".quant_map", FT_F32, 16, err) < 0 ||
	    need(&q->absmax, st, name, ".absmax", s.nested ? FT_U8 : FT_F32,
		 blocks, err) < 0)
		return -1;
	if (s.nested &&
	    (need(&q->map, st, name, ".nested_quant_map", FT_F32, 256, err) <
		     0 ||
	     need(&q->nested, st, name, ".nested_absmax", FT_F32,
		  (blocks + FT_NF4_GROUP - 1) / FT_NF4_GROUP, err) < 0))
		return -1;
	return 1;
}

/* --- which tensors ------------------------------------------------------- */

bool ft_quant_is(const struct ft_st *st, const char *name)
{
	return side(st, name, "") && side(st, name, STATE "nf4");
}

bool ft_quant_part(const struct ft_st *st, const char *tensor)
{
	static const char weight[] = ".weight";
	size_t n = strlen(tensor), w = sizeof(weight) - 1;
	char name[NAME];

	for (size_t i = 0; i < sizeof(sides) / sizeof(*sides); i++) {
		size_t len = strlen(sides[i]);

		if (n < len + w || n >= sizeof(name) ||
		    strcmp(tensor + n - len, sides[i]) != 0 ||
		    memcmp(tensor + n - len - w, weight, w) != 0)
			continue;
		memcpy(name, tensor, n - len - w);
		name[n - len - w] = 0;
		return ft_quant_is(st, name);
	}
	return false;
}

int ft_quant_any(const struct ft_st *st, struct ft_err *err)
{
	static const char state[] = ".weight" STATE;
	int any = 0;

	for (size_t i = 0; i < st->n; i++) {
		const char *s = strstr(st->t[i].name, state);

		if (s && strcmp(s + sizeof(state) - 1, "nf4") != 0)
			return ft_err_set(
				err, FT_EXIT_DATA,
				"'%.150s': 4-bit weights of this type are not supported (nf4 is)",
				st->t[i].name);
		any |= s != NULL;
	}
	return any;
}

void ft_quant_state(struct ft_str *out, size_t n, size_t k, const char *dtype,
		    float offset)
{
	ft_str_addf(
		out,
		"{\"quant_type\": \"nf4\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%zu, %zu], \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": ",
		FT_NF4_BLOCK, dtype, n, k, FT_NF4_GROUP);
	ft_str_add_double(out, (double)offset);
	ft_str_addc(out, '}');
}
