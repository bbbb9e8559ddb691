/* SPDX-License-Identifier: MIT */
#include "libcommon/base/opt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)
#define HELP_COLUMN  30
#define HELP_WIDTH   79

/* A table with its groups laid open. */
struct table {
	const struct ft_opt **v; /* owned; the rows are borrowed */
	size_t n, cap;
};

static bool quiet, verbose, want_help, want_version, want_dump;

static const struct ft_opt common[] = {
	FT_FLAG_FREE('q', "quiet", &quiet, "say nothing but errors"),
	FT_FLAG_FREE('v', "verbose", &verbose, "say more"),
	FT_FLAG_FREE(0, "json-errors", &ft_json_errors,
		     "write messages as JSON objects"),
	FT_FLAG_FREE('h', "help", &want_help, "print this help"),
	FT_FLAG_FREE(0, "version", &want_version, "print the version"),
	{0,
	 "dump-options",
	 FT_KIND_FLAG,
	 {.flag = &want_dump},
	 0,
	 0,
	 0,
	 "print the table of options",
	 FT_OPT_FREE | FT_OPT_HIDDEN,
	 0},
	FT_END,
};

static void collect(struct table *t, const struct ft_opt *o)
{
	for (; o->kind != FT_KIND_END; o++) {
		if (o->kind == FT_KIND_GROUP) {
			collect(t, o->dest.group);
			continue;
		}
		FT_GROW(t->v, t->n, t->cap, 1);
		t->v[t->n++] = o;
	}
}

/* --- words of an enum: "one|two|three" ----------------------------------- */

static const char *word_at(const char *words, int i, size_t *n)
{
	while (i-- > 0) {
		words += strcspn(words, "|");
		words += *words == '|';
	}
	*n = strcspn(words, "|");
	return words;
}

static int word_index(const char *words, const char *s)
{
	size_t n;

	for (int i = 0;; i++) {
		const char *w = word_at(words, i, &n);

		if (n == strlen(s) && memcmp(w, s, n) == 0)
			return i;
		if (!w[n])
			return -1;
	}
}

/* --- values -------------------------------------------------------------- */

static _Noreturn void bad_value(const struct ft_opt *o, const char *s,
				const char *what)
{
	ft_die(FT_EXIT_USAGE, "invalid value '%s' for --%s: %s", s, o->name,
	       what);
}

static _Noreturn void bad_range(const struct ft_opt *o, const char *s)
{
	struct ft_str b = {0};
	bool low = o->min <= -0x1p53, high = o->max >= 0x1p53;

	if (low && high) {
		ft_str_adds(&b, "too large");
	} else if (low) {
		ft_str_adds(&b, "must be at most ");
		ft_str_add_double(&b, o->max);
	} else if (high) {
		ft_str_adds(&b, "must be at least ");
		ft_str_add_double(&b, o->min);
	} else {
		ft_str_adds(&b, "must be between ");
		ft_str_add_double(&b, o->min);
		ft_str_adds(&b, " and ");
		ft_str_add_double(&b, o->max);
	}
	bad_value(o, s, ft_str_cstr(&b));
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

static int64_t read_int(const struct ft_opt *o, const char *s)
{
	const char *p = s + (*s == '-');
	long long x;

	if (!digits(p) || p[digits(p)])
		bad_value(o, s, "not a decimal integer");
	errno = 0;
	x = strtoll(s, NULL, 10);
	if (errno || (double)x < o->min || (double)x > o->max)
		bad_range(o, s);
	return x;
}

/* Digits with a point and an exponent: none of strtod's inf, nan and hex. */
static bool looks_real(const char *s)
{
	size_t n, m = 0;

	s += *s == '-' || *s == '+';
	n = digits(s);
	s += n;
	if (*s == '.') {
		m = digits(s + 1);
		s += m + 1;
	}
	if (!n && !m)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (!digits(s))
			return false;
		s += digits(s);
	}
	return !*s;
}

static double read_real(const struct ft_opt *o, const char *s)
{
	double x;

	if (!looks_real(s))
		bad_value(o, s, "not a decimal number");
	x = strtod(s, NULL);
	if (!(x >= o->min && x <= o->max) || x - x != 0)
		bad_range(o, s);
	return x;
}

static bool read_bool(const struct ft_opt *o, const char *s)
{
	if (!strcmp(s, "true") || !strcmp(s, "1"))
		return true;
	if (strcmp(s, "false") && strcmp(s, "0"))
		bad_value(o, s, "not true or false");
	return false;
}

static int read_word(const struct ft_opt *o, const char *s)
{
	int i = word_index(o->arg, s);

	if (i < 0)
		ft_die(FT_EXIT_USAGE,
		       "invalid value '%s' for --%s: not one of %s", s, o->name,
		       o->arg);
	return i;
}

/* s is NULL for a flag that stands alone. */
static void store(const struct ft_opt *o, const char *s)
{
	struct ft_opt_list *l;

	switch (o->kind) {
	case FT_KIND_FLAG:
		*o->dest.flag = s ? read_bool(o, s) : true;
		break;
	case FT_KIND_INT:
		*o->dest.i = read_int(o, s);
		break;
	case FT_KIND_REAL:
		*o->dest.r = read_real(o, s);
		break;
	case FT_KIND_STR:
		*o->dest.s = s;
		break;
	case FT_KIND_LIST:
		l = o->dest.list;
		l->v = ft_xrealloc((void *)l->v, (size_t)l->n + 1,
				   sizeof(*l->v));
		l->v[l->n++] = s;
		break;
	case FT_KIND_ENUM:
		*o->dest.e = read_word(o, s);
		break;
	case FT_KIND_END:
	case FT_KIND_GROUP:
		return;
	}
	if (o->given)
		*o->given = true;
}

/* --- names --------------------------------------------------------------- */

static char dash(char c)
{
	return c == '_' ? '-' : c;
}

static bool same_name(const char *name, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!name[i] || dash(name[i]) != dash(s[i]))
			return false;
	}
	return !name[n];
}

static const struct ft_opt *find_long(const struct table *t, const char *s,
				      size_t n)
{
	for (size_t i = 0; i < t->n; i++) {
		if (same_name(t->v[i]->name, s, n))
			return t->v[i];
	}
	return NULL;
}

static const struct ft_opt *find_short(const struct table *t, int c)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i]->c == c)
			return t->v[i];
	}
	return NULL;
}

/* The name that needs the fewest edits, if fewer than a rewrite; one that was
   cut short needs one. */
static const char *nearest(const struct table *t, const char *s, size_t n)
{
	char *norm = ft_xstrndup(s, n);
	const char *best = NULL;
	size_t least = n < 4 ? 2 : n / 2 + 1;

	for (size_t i = 0; i < n; i++)
		norm[i] = dash(norm[i]);
	for (size_t i = 0; i < t->n; i++) {
		const char *name = t->v[i]->name;
		size_t d = ft_edit_distance(norm, n, name, strlen(name));

		if (d > 1 && n > 1 && ft_starts(name, norm))
			d = 1;
		if (d < least && !(t->v[i]->flags & FT_OPT_HIDDEN)) {
			least = d;
			best = name;
		}
	}
	free(norm);
	return best;
}

/* typed is what stood in argv (len bytes of it), name the part to compare. */
static _Noreturn void unknown(const struct table *t, const char *typed, int len,
			      const char *name, size_t n)
{
	const char *near = nearest(t, name, n > 64 ? 64 : n);

	if (near)
		ft_die(FT_EXIT_USAGE,
		       "unknown option '%.*s'; did you mean '--%s'?", len,
		       typed, near);
	ft_die(FT_EXIT_USAGE, "unknown option '%.*s'; try --help", len, typed);
}

/* --- help ---------------------------------------------------------------- */

static void add_default(struct ft_str *b, const struct ft_opt *o)
{
	struct ft_str d = {0};
	const char *w;
	size_t n;

	switch (o->kind) {
	case FT_KIND_FLAG:
		if (*o->dest.flag)
			ft_str_adds(&d, "true");
		break;
	case FT_KIND_INT:
		/* a value out of range stands for "not given" */
		if ((double)*o->dest.i >= o->min &&
		    (double)*o->dest.i <= o->max)
			ft_str_addf(&d, "%lld", (long long)*o->dest.i);
		break;
	case FT_KIND_REAL:
		if (*o->dest.r >= o->min && *o->dest.r <= o->max)
			ft_str_add_double(&d, *o->dest.r);
		break;
	case FT_KIND_STR:
		ft_str_adds(&d, *o->dest.s ? *o->dest.s : "");
		break;
	case FT_KIND_ENUM:
		if (*o->dest.e < 0)
			break;
		w = word_at(o->arg, *o->dest.e, &n);
		ft_str_add(&d, w, n);
		break;
	default:
		break;
	}
	if (d.n)
		ft_str_addf(b, " [%s]", d.s);
	ft_str_release(&d);
}

/* Print text from column at, going on in the help column. */
static void print_wrapped(const char *text, int at)
{
	int col = at;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (col > HELP_COLUMN && col + 1 + n > HELP_WIDTH) {
			printf("\n%*s", HELP_COLUMN, "");
			col = HELP_COLUMN;
		} else if (col > HELP_COLUMN) {
			putchar(' ');
			col++;
		}
		printf("%.*s", n, text);
		col += n;
		text += n;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void print_row(const struct ft_opt *o)
{
	struct ft_str b = {0};
	int n;

	ft_str_addf(&b, o->c ? "  -%c, " : "      ", o->c);
	ft_str_addf(&b, "--%s", o->name);
	if (o->arg)
		ft_str_addf(&b, " %s", o->arg);
	n = (int)b.n;
	printf("%s", b.s);
	if (n > HELP_COLUMN - 2) {
		putchar('\n');
		n = 0;
	}
	printf("%*s", HELP_COLUMN - n, "");
	ft_str_clear(&b);
	ft_str_adds(&b, o->help);
	add_default(&b, o);
	print_wrapped(b.s, HELP_COLUMN);
	ft_str_release(&b);
}

static _Noreturn void print_help(const struct table *t, const char *synopsis,
				 const char *about)
{
	quiet = verbose = want_help = false; /* not defaults */
	printf("usage: %s %s\n", ft_progname(), synopsis);
	if (about && *about)
		printf("\n%s\n", about);
	printf("\n");
	for (size_t i = 0; i < t->n; i++) {
		if (!(t->v[i]->flags & FT_OPT_HIDDEN))
			print_row(t->v[i]);
	}
	printf("\nSee %s(1) and ft(7).\n", ft_progname());
	exit(FT_EXIT_OK);
}

static _Noreturn void print_version(void)
{
#ifdef FT_BUILD
	const char *mode = ", " FT_BUILD;
#else
	const char *mode = "";
#endif
#ifdef __clang__
	const char *compiler = "clang " __clang_version__;
#else
	const char *compiler = "gcc " __VERSION__;
#endif
	int n = (int)strlen(compiler);

	while (n > 0 && compiler[n - 1] == ' ')
		n--;
	printf("%s %s (%.*s%s)\n", ft_progname(), FT_VERSION, n, compiler,
	       mode);
	exit(FT_EXIT_OK);
}

/* The tool's own rows; those that every tool has are in ft(7). */
static _Noreturn void dump(const struct ft_opt *opts)
{
	struct table t = {0};

	collect(&t, opts);
	for (size_t i = 0; i < t.n; i++) {
		const struct ft_opt *o = t.v[i];

		if (o->flags & FT_OPT_HIDDEN)
			continue;
		if (o->c)
			putchar(o->c);
		printf("\t%s\t%s\n", o->name, o->arg ? o->arg : "");
	}
	free(t.v);
	exit(FT_EXIT_OK);
}

/* --- parsing ------------------------------------------------------------- */

struct parse {
	const struct table *t;
	char **argv;
	int argc, i; /* i: the argument being read */
};

static const char *next_arg(struct parse *p, const char *typed)
{
	if (p->i + 1 >= p->argc)
		ft_die(FT_EXIT_USAGE, "option '%s' needs an argument", typed);
	return p->argv[++p->i];
}

static void parse_long(struct parse *p)
{
	const char *typed = p->argv[p->i], *s = typed + 2;
	size_t n = strcspn(s, "=");
	const struct ft_opt *o = find_long(p->t, s, n);

	if (!o)
		unknown(p->t, typed, n > 64 ? 66 : (int)n + 2, s, n);
	if (s[n])
		store(o, s + n + 1);
	else if (o->kind == FT_KIND_FLAG)
		store(o, NULL);
	else
		store(o, next_arg(p, typed));
}

static void parse_short(struct parse *p)
{
	const char *typed = p->argv[p->i];

	for (const char *s = typed + 1; *s; s++) {
		const struct ft_opt *o = find_short(p->t, (unsigned char)*s);
		char name[3] = {'-', *s, 0};

		if (!o) {
			/* -output is more likely --output than -o utput */
			s = s == typed + 1 && s[1] ? s : "";
			unknown(p->t, *s ? typed : name, *s ? 66 : 2, s,
				strcspn(s, "="));
		}
		if (o->kind != FT_KIND_FLAG) {
			store(o, s[1] ? s + 1 : next_arg(p, name));
			return;
		}
		store(o, NULL);
	}
}

static void parse_all(struct parse *p, char **operand, int *noperand,
		      char **option, int *noption)
{
	for (p->i = 1; p->i < p->argc; p->i++) {
		char *s = p->argv[p->i];
		int first = p->i;

		if (s[0] != '-' || !s[1]) {
			operand[(*noperand)++] = s;
			continue;
		}
		if (s[1] != '-')
			parse_short(p);
		else if (s[2])
			parse_long(p);
		for (int k = first; k <= p->i; k++)
			option[(*noption)++] = p->argv[k];
		if (s[1] == '-' && !s[2])
			break;
	}
	while (++p->i < p->argc)
		operand[(*noperand)++] = p->argv[p->i];
}

int ft_opt_parse(int argc, char **argv, const struct ft_opt *opts,
		 const char *synopsis, const char *about)
{
	struct table t = {0};
	struct parse p = {.t = &t, .argv = argv, .argc = argc};
	char **moved = ft_xcalloc(2 * (size_t)argc + 1, sizeof(*moved));
	int noption = 0, noperand = 0;

	quiet = verbose = false;
	collect(&t, opts);
	collect(&t, common);
	parse_all(&p, moved + argc, &noperand, moved, &noption);
	if (want_help)
		print_help(&t, synopsis, about);
	if (want_version)
		print_version();
	if (want_dump)
		dump(opts);
	ft_verbosity = quiet ? -1 : verbose;
	for (int i = 0; i < noption; i++)
		argv[1 + i] = moved[i];
	for (int i = 0; i < noperand; i++)
		argv[1 + noption + i] = moved[argc + i];
	free(moved);
	free(t.v);
	return 1 + noption;
}

/* --- the record of options ----------------------------------------------- */

/* Arguments are bytes; JSON wants UTF-8. */
static void add_string(struct ft_str *out, const char *s)
{
	struct ft_str b = {0};

	for (size_t n = s ? strlen(s) : 0, k; n; s += k, n -= k) {
		k = ft_utf8_len(s, n);
		if (k) {
			ft_str_add(&b, s, k);
			continue;
		}
		ft_str_adds(&b, "\xEF\xBF\xBD");
		k = 1;
	}
	ft_str_add_json(out, ft_str_cstr(&b), b.n);
	ft_str_release(&b);
}

static void add_value(struct ft_str *out, const struct ft_opt *o)
{
	const char *w;
	size_t n;

	switch (o->kind) {
	case FT_KIND_FLAG:
		ft_str_adds(out, *o->dest.flag ? "true" : "false");
		break;
	case FT_KIND_INT:
		ft_str_addf(out, "%lld", (long long)*o->dest.i);
		break;
	case FT_KIND_REAL:
		ft_str_add_double(out, *o->dest.r);
		break;
	case FT_KIND_STR:
		if (*o->dest.s)
			add_string(out, *o->dest.s);
		else
			ft_str_adds(out, "null");
		break;
	case FT_KIND_LIST:
		ft_str_addc(out, '[');
		for (int i = 0; i < o->dest.list->n; i++) {
			ft_str_adds(out, i ? "," : "");
			add_string(out, o->dest.list->v[i]);
		}
		ft_str_addc(out, ']');
		break;
	case FT_KIND_ENUM:
		if (*o->dest.e < 0) {
			ft_str_adds(out, "null");
			break;
		}
		w = word_at(o->arg, *o->dest.e, &n);
		ft_str_add_json(out, w, n);
		break;
	case FT_KIND_END:
	case FT_KIND_GROUP:
		break;
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct ft_opt *const *)a)->name,
		      (*(const struct ft_opt *const *)b)->name);
}

void ft_opt_json(const struct ft_opt *opts, struct ft_str *out)
{
	struct table t = {0};
	const char *sep = "";

	collect(&t, opts);
	if (t.n)
		qsort((void *)t.v, t.n, sizeof(*t.v), by_name);
	ft_str_addc(out, '{');
	for (size_t i = 0; i < t.n; i++) {
		if (t.v[i]->flags & FT_OPT_FREE)
			continue;
		ft_str_adds(out, sep);
		add_string(out, t.v[i]->name);
		ft_str_addc(out, ':');
		add_value(out, t.v[i]);
		sep = ",";
	}
	ft_str_addc(out, '}');
	free((void *)t.v);
}
