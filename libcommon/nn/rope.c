/* SPDX-License-Identifier: MIT */
/* Rotary positions: what config.json says of them, and their table. */
#include "libcommon/nn/config_priv.h"

#include <math.h>
#include <string.h>

static int get_positive(const struct ft_json *o, const char *key, double *v,
			struct ft_err *err)
{
	if (ft_json_real(o, key, v, err) < 0)
		return -1;
	if (!(*v > 0 && isfinite(*v)))
		return ft_err_set(err, FT_EXIT_DATA,
				  "rope: %s must be a positive number", key);
	return 0;
}

/* One that is 0 is as one that is not said. */
static int get_unless_0(const struct ft_json *o, const char *key, double *v,
			struct ft_err *err)
{
	double x = 0;

	if (ft_json_real(o, key, &x, err) < 0)
		return -1;
	if (!(x >= 0 && isfinite(x)))
		return ft_err_set(err, FT_EXIT_DATA,
				  "rope: %s must be a positive number", key);
	*v = x > 0 ? x : *v;
	return 0;
}

/* How much of a head is turned: some families' heads are always whole. */
static int get_partial(const struct ft_config *c, const struct ft_json *o,
		       double *part, struct ft_err *err)
{
	if (ft_json_real(o, "partial_rotary_factor", part, err) < 0)
		return -1;
	if (c->arch->partial != 0 ? !(*part > 0 && *part <= 1) : *part != 1)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"partial_rotary_factor %g is not supported%s", *part,
			c->arch->partial != 0 ? "" : " in this family");
	return 0;
}

/* What a kind of scaling cannot do without. */
static int need_numbers(const struct ft_json *sc, const char *type,
			struct ft_err *err)
{
	static const char *const keys[] = {"factor", "low_freq_factor",
					   "high_freq_factor"};
	size_t n = strcmp(type, "llama3") ? 1 : 3;

	for (size_t i = 0; i < n; i++) {
		const struct ft_json *v = ft_json_get(sc, keys[i]);

		if (!v ||
		    (v->type == FT_JSON_NULL && strcmp(type, "yarn") != 0))
			return ft_err_set(err, FT_EXIT_DATA,
					  "rope scaling '%s' without %s", type,
					  keys[i]);
	}
	return 0;
}

static double mscale(double scale, double by)
{
	return scale <= 1 ? 1 : 0.1 * by * log(scale) + 1;
}

static int get_yarn(const struct ft_config *c, struct ft_rope *r,
		    const struct ft_json *sc, struct ft_err *err)
{
	double m = 0, all = 0;

	r->fast = 32;
	r->slow = 1;
	r->factor = (double)c->max_pos / r->original;
	if (get_positive(sc, "factor", &r->factor, err) < 0 ||
	    get_unless_0(sc, "mscale", &m, err) < 0 ||
	    get_unless_0(sc, "mscale_all_dim", &all, err) < 0 ||
	    get_unless_0(sc, "beta_fast", &r->fast, err) < 0 ||
	    get_unless_0(sc, "beta_slow", &r->slow, err) < 0)
		return -1;
	r->attention = m > 0 && all > 0
			       ? mscale(r->factor, m) / mscale(r->factor, all)
			       : mscale(r->factor, 1);
	if (r->theta == 1)
		return ft_err_set(err, FT_EXIT_DATA,
				  "rope scaling 'yarn' with rope_theta 1");
	return get_positive(sc, "attention_factor", &r->attention, err);
}

/* The numbers of a scaling that is not "default".  flat: not one of several,
   by kind of layer. */
static int get_scaling(const struct ft_config *c, struct ft_rope *r,
		       const struct ft_json *o, const struct ft_json *sc,
		       const char *type, bool flat, struct ft_err *err)
{
	static const char original[] = "original_max_position_embeddings";
	static const char *const types[] = {[FT_ROPE_LINEAR] = "linear",
					    [FT_ROPE_LLAMA3] = "llama3",
					    [FT_ROPE_YARN] = "yarn"};

	r->type = FT_ROPE_YARN;
	while (r->type != FT_ROPE_PLAIN && strcmp(type, types[r->type]) != 0)
		r->type--;
	if (r->type == FT_ROPE_PLAIN)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"rope scaling '%.64s' is not supported (supported: default, linear, llama3, yarn)",
			type);
	/* one that stands outside of the scaling has the last word */
	if (need_numbers(sc, type, err) < 0 ||
	    get_positive(sc, original, &r->original, err) < 0 ||
	    (flat && get_positive(o, original, &r->original, err) < 0))
		return -1;
	if (r->type == FT_ROPE_YARN) {
		if (flat && ft_json_bool(sc, "truncate", &r->truncate, err) < 0)
			return -1;
		return get_yarn(c, r, sc, err);
	}
	if (get_positive(sc, "factor", &r->factor, err) < 0 ||
	    get_positive(sc, "low_freq_factor", &r->low, err) < 0 ||
	    get_positive(sc, "high_freq_factor", &r->high, err) < 0)
		return -1;
	if (r->type == FT_ROPE_LLAMA3 && r->high <= r->low)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"rope scaling: high_freq_factor must exceed low_freq_factor");
	return 0;
}

int ft_json_object(const struct ft_json *o, const char *key,
		   const struct ft_json **v, struct ft_err *err)
{
	*v = o ? ft_json_get(o, key) : NULL;
	if (*v && (*v)->type == FT_JSON_NULL)
		*v = NULL;
	if (*v && (*v)->type != FT_JSON_OBJECT)
		return ft_err_set(err, FT_EXIT_DATA, "%s is not an object",
				  key);
	if (*v && (*v)->n == 0)
		*v = NULL;
	return 0;
}

/* From the object that describes it, or NULL. */
static int get_one(struct ft_config *c, struct ft_rope *r,
		   const struct ft_json *o, const struct ft_json *sc, bool flat,
		   double *part, struct ft_err *err)
{
	const char *type = "default";
	size_t n;
	int rc;

	if (!sc)
		return 0;
	rc = ft_json_str(sc, "rope_type", &type, &n, err);
	if (!rc)
		rc = ft_json_str(sc, "type", &type, &n, err);
	if (rc < 0 || get_partial(c, sc, part, err) < 0 ||
	    get_positive(sc, "rope_theta", &r->theta, err) < 0)
		return -1;
	return strcmp(type, "default")
		       ? get_scaling(c, r, o, sc, type, flat, err)
		       : 0;
}

/* One of them for layers that see all, one for those with a window:
   rope_scaling is the former's, and says more than rope_parameters. */
static int get_two(struct ft_config *c, const struct ft_json *o,
		   const struct ft_json *sc, const struct ft_json *par,
		   double *part, struct ft_err *err)
{
	const struct ft_json *full, *local;

	if (get_positive(o, "rope_local_base_freq", &c->local.theta, err) < 0 ||
	    ft_json_object(par, "full_attention", &full, err) < 0 ||
	    ft_json_object(par, "sliding_attention", &local, err) < 0)
		return -1;
	if (sc && full &&
	    get_positive(full, "rope_theta", &c->rope.theta, err) < 0)
		return -1;
	return get_one(c, &c->rope, o, sc ? sc : full, false, part, err) < 0
		       ? -1
		       : get_one(c, &c->local, o, local, false, part, err);
}

/*
 * transformers takes both spellings together: where rope_scaling says
 * anything, rope_parameters is not read; a rope_theta in what is read beats
 * the one beside it.
 */
int ft_rope_read(struct ft_config *c, const struct ft_json *o,
		 struct ft_err *err)
{
	const struct ft_arch *a = c->arch;
	const struct ft_json *sc, *par;
	double part = a->partial != 0 ? a->partial : 1;
	int rc;

	c->rope = (struct ft_rope){.theta = a->theta,
				   .factor = 1,
				   .low = 1,
				   .high = 4,
				   .original = (double)c->max_pos,
				   .attention = 1,
				   .truncate = true};
	c->local = c->rope;
	c->local.theta = a->local_theta;
	if (a->theta == 0)
		return 0;
	if (ft_json_object(o, "rope_scaling", &sc, err) < 0 ||
	    ft_json_object(o, "rope_parameters", &par, err) < 0 ||
	    get_positive(o, "rope_theta", &c->rope.theta, err) < 0 ||
	    get_partial(c, o, &part, err) < 0)
		return -1;
	if (a->local_theta != 0)
		rc = get_two(c, o, sc, par, &part, err);
	else
		rc = get_one(c, &c->rope, o, sc ? sc : par, true, &part, err);
	c->rot = (size_t)((double)c->head_dim * part);
	if (!rc && (c->rot % 2 || !c->rot))
		return ft_err_set(
			err, FT_EXIT_DATA,
			"partial_rotary_factor %g of head_dim %zu: %zu is no even number",
			part, c->head_dim, c->rot);
	return rc;
}

/* --- the table ----------------------------------------------------------- */

/* Llama 3's piecewise scaling of frequencies: long waves are slowed by
   factor, short ones kept, those between blended.  In float, by reciprocals,
   as transformers does. */
static float llama3(const struct ft_rope *r, float inv)
{
	float factor = (float)r->factor, low = (float)r->low;
	float wave = 1 / inv * (float)(2 * M_PI);
	float blend;

	if ((double)wave < r->original / r->high)
		return inv;
	if ((double)wave > r->original / r->low)
		return inv / factor;
	blend = 1 / wave * (float)r->original - low;
	blend /= (float)(r->high - r->low);
	return (1 - blend) * inv / factor + blend * inv;
}

/* The frequency that turns so many times over the original length, counted in
   elements. */
static double yarn_at(const struct ft_rope *r, size_t rot, double turns)
{
	return (double)rot * log(r->original / (turns * 2 * M_PI)) /
	       (2 * log(r->theta));
}

/* Frequency i of YaRN: fast ones are kept, slow ones slowed by factor, a ramp
   between. */
static float yarn(const struct ft_rope *r, size_t rot, size_t i, float pos)
{
	double low = yarn_at(r, rot, r->fast), high = yarn_at(r, rot, r->slow);
	float ramp, keep;

	low = fmax(r->truncate ? floor(low) : low, 0);
	high = fmin(r->truncate ? ceil(high) : high, (double)(rot - 1));
	if (low == high)
		high += 0.001;
	ramp = ((float)i - (float)low) / (float)(high - low);
	keep = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
	return 1 / ((float)r->factor * pos) * (1 - keep) + 1 / pos * keep;
}

/* Frequencies and angles are rounded to float as transformers does: at
   position 2000 the rounding shows in the fourth digit of the angle. */
void ft_rope_table(const struct ft_config *c, const struct ft_rope *r,
		   size_t positions, float *table)
{
	size_t d = c->rot, half = d / 2;
	double by = r->type == FT_ROPE_YARN ? r->attention : 1;

	for (size_t i = 0; i < half; i++) {
		double e = (double)((float)(2 * i) / (float)d);
		float wave = (float)pow(r->theta, e), inv = 1.0f / wave;

		if (r->type == FT_ROPE_LINEAR)
			inv = inv / (float)r->factor;
		else if (r->type == FT_ROPE_LLAMA3)
			inv = llama3(r, inv);
		else if (r->type == FT_ROPE_YARN)
			inv = yarn(r, d, i, wave);
		for (size_t p = 0; p < positions; p++) {
			double angle = (double)((float)p * inv);

			table[p * d + i] = (float)cos(angle) * (float)by;
			table[p * d + half + i] = (float)sin(angle) * (float)by;
		}
	}
}
