/* SPDX-License-Identifier: MIT */
/*
 * Command-line options from one table per tool.  The table is the only place
 * an option is described: parsing, --help, the man-page check and the record
 * of options in checkpoints and provenance all read it.
 *
 * Long names are TRL's where TRL has one; `-` and `_` are alike, `--name=value`
 * and `--name value` too, `--flag=false` unsets a flag.  No abbreviations: an
 * unknown name is status 2 and names the nearest one.
 */
#ifndef FT_BASE_OPT_H
#define FT_BASE_OPT_H

#include <stdbool.h>
#include <stdint.h>

struct ft_str;

enum ft_opt_kind {
	FT_KIND_END,
	FT_KIND_FLAG,
	FT_KIND_INT,
	FT_KIND_REAL,
	FT_KIND_STR,
	FT_KIND_LIST,  /* may be given several times */
	FT_KIND_ENUM,  /* one word of arg, which reads "one|two|three" */
	FT_KIND_GROUP, /* the rows of another table stand here */
};

struct ft_opt_list {
	const char **v; /* borrowed from argv */
	int n;
};

struct ft_opt {
	int c;            /* short letter, or 0 */
	const char *name; /* long name, with dashes */
	enum ft_opt_kind kind;
	union {
		bool *flag;
		int64_t *i;
		double *r;
		const char **s;
		struct ft_opt_list *list;
		int *e; /* index of the word in arg */
		const struct ft_opt *group;
	} dest;
	double min, max; /* inclusive, FT_INT and FT_REAL; from 2^53 on "no
			    bound" */
	const char *arg; /* argument's name in --help; words of FT_ENUM */
	const char *help;
	unsigned flags;
	bool *given; /* set true when the option was given, or NULL */
};

enum {
	FT_OPT_FREE = 1,   /* does not change what is computed: paths, threads,
			    logging.  Left out of provenance and checkpoints. */
	FT_OPT_HIDDEN = 2, /* not in --help nor in the man page */
};

/* Rows.  A destination of the wrong type does not compile. */
/* clang-format off */
#define FT_ROW_FLAG(c, name, p, help, how) \
	{c, name, FT_KIND_FLAG, {.flag = p}, 0, 0, 0, help, how, 0}
#define FT_ROW_INT(c, name, p, lo, hi, arg, help, how) \
	{c, name, FT_KIND_INT, {.i = p}, (double)(lo), (double)(hi), arg, help, how, 0}
#define FT_ROW_STR(c, name, p, arg, help, how) \
	{c, name, FT_KIND_STR, {.s = p}, 0, 0, arg, help, how, 0}
#define FT_ROW_LIST(c, name, p, arg, help, how) \
	{c, name, FT_KIND_LIST, {.list = p}, 0, 0, arg, help, how, 0}
#define FT_FLAG(c, name, p, help) FT_ROW_FLAG(c, name, p, help, 0)
#define FT_INT(c, name, p, lo, hi, arg, help) FT_ROW_INT(c, name, p, lo, hi, arg, help, 0)
#define FT_REAL(c, name, p, lo, hi, arg, help) \
	{c, name, FT_KIND_REAL, {.r = p}, lo, hi, arg, help, 0, 0}
#define FT_STR(c, name, p, arg, help) FT_ROW_STR(c, name, p, arg, help, 0)
#define FT_LIST(c, name, p, arg, help) FT_ROW_LIST(c, name, p, arg, help, 0)
#define FT_ENUM(c, name, p, words, help) \
	{c, name, FT_KIND_ENUM, {.e = p}, 0, 0, words, help, 0, 0}
#define FT_GROUP(table) {0, 0, FT_KIND_GROUP, {.group = table}, 0, 0, 0, 0, 0, 0}
#define FT_END {0}
/* The same rows for options that change no result (FT_OPT_FREE). */
#define FT_FLAG_FREE(c, name, p, help) FT_ROW_FLAG(c, name, p, help, FT_OPT_FREE)
#define FT_INT_FREE(c, name, p, lo, hi, arg, help) FT_ROW_INT(c, name, p, lo, hi, arg, help, FT_OPT_FREE)
#define FT_STR_FREE(c, name, p, arg, help) FT_ROW_STR(c, name, p, arg, help, FT_OPT_FREE)
#define FT_LIST_FREE(c, name, p, arg, help) FT_ROW_LIST(c, name, p, arg, help, FT_OPT_FREE)
/* clang-format on */

/*
 * Parse argv by the table and by the options that every tool has (-q -v
 * --json-errors --help --version, and the hidden --dump-options that prints
 * "c<TAB>name<TAB>argument" a line for the documentation check).  Operands may
 * stand between options; they are moved to the end of argv.  Returns the index
 * of the first operand.  Help and version go to stdout, status 0; a bad
 * command line prints one line and exits FT_EXIT_USAGE.
 *
 * synopsis is what stands after the tool's name; about is one sentence.
 */
int ft_opt_parse(int argc, char **argv, const struct ft_opt *opts,
		 const char *synopsis, const char *about);

/*
 * Append to out a JSON object of every option that is not FT_OPT_FREE, with
 * its present value, sorted by name.
 */
void ft_opt_json(const struct ft_opt *opts, struct ft_str *out);

#endif
