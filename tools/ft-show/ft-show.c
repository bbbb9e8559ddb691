/* SPDX-License-Identifier: MIT */
/* ft-show - look into token streams, tensors, rows and their records. */

#include <string.h>
#include <unistd.h>

#include "libcommon/base/opt.h"
#include "tools/ft-show/show.h"

struct cmdline {
	const char *model, *rows, *output;
	int64_t document;
	bool join, diff, ledger, stats, json, zstd;
	int color;
};

void show_flush(struct show *sh)
{
	struct ft_err err;

	if (sh->buf.n &&
	    ft_output_write(sh->out, sh->buf.s, sh->buf.n, &err) < 0)
		ft_die_err(&err);
	ft_str_clear(&sh->buf);
}

void show_number(struct ft_str *b, double x)
{
	if (x != x)
		ft_str_adds(b, "nan");
	else if (x - x != 0)
		ft_str_adds(b, x > 0 ? "inf" : "-inf");
	else
		ft_str_add_double(b, x);
}

void show_text(struct ft_str *b, const char *s, size_t n, const char *nl)
{
	while (n) {
		size_t k = ft_utf8_len(s, n);
		unsigned char c = (unsigned char)*s;

		if (k == 0)
			ft_str_adds(b, "\xef\xbf\xbd");
		else if (c == '\n')
			ft_str_adds(b, nl);
		else if ((c < ' ' && c != '\t') || c == 127)
			ft_str_addf(b, "\\x%02x", c);
		else if (k == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0)
			ft_str_addf(b, "\\x%02x", (unsigned char)s[1]);
		else
			ft_str_add(b, s, k);
		k = k ? k : 1;
		s += k;
		n -= k;
	}
}

static int64_t parse_count(const char **s)
{
	int64_t v = 0;

	if (**s < '0' || **s > '9')
		ft_die(FT_EXIT_USAGE, "--rows wants N, N: or N:M");
	for (; **s >= '0' && **s <= '9'; (*s)++) {
		if (v > INT64_MAX / 20)
			ft_die(FT_EXIT_USAGE, "--rows: number too large");
		v = v * 10 + (**s - '0');
	}
	return v;
}

/* N is one row, N: all from it on, N:M those before M. */
static void parse_rows(const char *s, struct show *sh)
{
	sh->row0 = parse_count(&s);
	sh->row1 = sh->row0 + 1;
	if (*s == ':') {
		s++;
		sh->row1 = *s ? parse_count(&s) : INT64_MAX;
	}
	if (*s)
		ft_die(FT_EXIT_USAGE, "--rows wants N, N: or N:M");
	if (sh->row1 <= sh->row0)
		ft_die(FT_EXIT_USAGE,
		       "--rows: N:M is rows N to M-1, of which there are none");
}

static void check_usage(const struct cmdline *cmd, int nfile)
{
	int modes = cmd->join + cmd->diff + cmd->ledger + !!cmd->rows +
		    (cmd->document >= 0);

	if (modes > 1)
		ft_die(FT_EXIT_USAGE,
		       "only one of --rows, --ledger, --document, --join and --diff");
	if (modes && (cmd->json || cmd->stats))
		ft_die(FT_EXIT_USAGE,
		       "--json and --stats belong to the summary");
	if (cmd->diff && nfile != 2)
		ft_die(FT_EXIT_USAGE, "--diff wants two files");
	if (cmd->document >= 0 && nfile > 1)
		ft_die(FT_EXIT_USAGE, "--document wants one file");
	if (cmd->model && !cmd->rows)
		ft_die(FT_EXIT_USAGE, "--model belongs to --rows");
}

static bool use_color(const struct cmdline *cmd)
{
	bool file = cmd->output && strcmp(cmd->output, "-") != 0;

	return cmd->color == 1 ||
	       (cmd->color == 0 && !file && isatty(STDOUT_FILENO));
}

static void show_one(struct show *sh, const struct cmdline *cmd,
		     const struct source *s)
{
	bool stream = cmd->rows || cmd->ledger || cmd->document >= 0;

	if (stream && s->type != SHOW_STREAM)
		ft_die(FT_EXIT_DATA, "%s: this is %s, not a token stream",
		       s->name, show_types[s->type]);
	if (cmd->document >= 0)
		stream_document(sh, s, cmd->document);
	else if (cmd->rows)
		stream_rows(sh, s);
	else if (cmd->ledger)
		stream_ledger(sh, s);
	else if (s->type == SHOW_STREAM)
		stream_summary(sh, s);
	else if (s->type == SHOW_ROWS)
		rows_summary(sh, s);
	else if (s->type == SHOW_JSON)
		json_pretty(sh, s);
	else
		tensors_table(sh, s);
	show_flush(sh);
}

static void heading(struct ft_str *b, int i, const char *name)
{
	ft_str_adds(b, i ? "\n==> " : "==> ");
	show_text(b, name, strlen(name), "\\n");
	ft_str_adds(b, " <==\n");
}

static void show_all(struct show *sh, const struct cmdline *cmd, char **files,
		     int n)
{
	for (int i = 0; i < n; i++) {
		struct source s;

		source_open(&s, files[i]);
		if (n > 1 && !cmd->json && !cmd->ledger)
			heading(&sh->buf, i, s.name);
		show_one(sh, cmd, &s);
		source_close(&s);
	}
}

/* Whether they differ. */
static bool diff(struct show *sh, char **files)
{
	struct source a, b;
	bool differ;

	source_open(&a, files[0]);
	source_open(&b, files[1]);
	differ = show_diff(&sh->buf, &a, &b);
	show_flush(sh);
	source_close(&a);
	source_close(&b);
	return differ;
}

int main(int argc, char **argv)
{
	static char dash[] = "-";
	char *one[] = {dash};
	struct cmdline cmd = {.document = -1};
	struct show sh = {0};
	struct ft_err err;
	bool differ = false;
	char **files;
	int i, n;
	const struct ft_opt opts[] = {
		FT_STR('r', "rows", &cmd.rows, "N[:M]",
		       "print row N, or rows N to M-1, of a stream"),
		FT_STR_FREE('m', "model", &cmd.model, "DIR",
			    "decode tokens with the tokenizer in DIR"),
		FT_ENUM(0, "color", &cmd.color, "auto|always|never",
			"trained tokens green, others dim"),
		FT_FLAG(0, "ledger", &cmd.ledger,
			"print a stream's ledger alone"),
		FT_INT('d', "document", &cmd.document, 0, INT32_MAX, "N",
		       "cut document N (from 0) out of a stream"),
		FT_FLAG(0, "join", &cmd.join, "join streams into one"),
		FT_FLAG(0, "diff", &cmd.diff,
			"say where two files first differ (status 1)"),
		FT_FLAG('s', "stats", &cmd.stats,
			"minimum, maximum, mean, rms of each tensor"),
		FT_FLAG('j', "json", &cmd.json,
			"the summary as one JSON object a line"),
		FT_STR_FREE('o', "output", &cmd.output, "FILE",
			    "write to FILE, which appears when complete"),
		FT_FLAG_FREE('z', "zstd", &cmd.zstd, "compress the output"),
		FT_END,
	};

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, opts, "[OPTIONS] [FILE...]",
		"Look into token streams, tensors, rows and their records.");
	files = i < argc ? argv + i : one;
	n = i < argc ? argc - i : 1;
	check_usage(&cmd, n);
	if (cmd.rows)
		parse_rows(cmd.rows, &sh);
	sh.color = use_color(&cmd);
	sh.stats = cmd.stats;
	sh.json = cmd.json;
	if (cmd.model && ft_tok_load(&sh.tok, cmd.model, &err) < 0)
		ft_die_err(&err);
	if (ft_output_open(&sh.out, cmd.output, cmd.zstd, &err) < 0)
		ft_die_err(&err);
	if (cmd.join)
		stream_join(&sh, files, n);
	else if (cmd.diff)
		differ = diff(&sh, files);
	else
		show_all(&sh, &cmd, files, n);
	if (ft_output_commit(sh.out, &err) < 0)
		ft_die_err(&err);
	ft_str_release(&sh.buf);
	ft_tok_free(sh.tok);
	return differ ? FT_EXIT_NO : FT_EXIT_OK;
}
