/* SPDX-License-Identifier: MIT */
/* ft-board - show training runs, on a terminal or as a page. */

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/opt.h"
#include "libcommon/io/output.h"
#include "tools/ft-board/board.h"

struct cmdline {
	const char *html, *output, *title, *lead, *metrics;
	struct ft_opt_list tables, samples, texts;
	int64_t width, height;
	int color;
	bool zstd;
};

static void emit(const char *path, bool zstd, const struct ft_str *s)
{
	struct ft_output *out;
	struct ft_err err;

	if (ft_output_open(&out, path, zstd, &err) ||
	    ft_output_write(out, ft_str_cstr(s), s->n, &err) ||
	    ft_output_commit(out, &err))
		ft_die_err(&err);
}

static void show_terminal(const struct cmdline *cmd, const struct runs *runs,
			  const struct charts *charts)
{
	bool tty = !cmd->output && isatty(STDOUT_FILENO);
	struct screen scr = {.width = (int)cmd->width,
			     .height = (int)cmd->height};
	struct ft_str s = {0};
	struct winsize ws;

	scr.color = cmd->color == 1 || (cmd->color == 0 && tty);
	if (!scr.width && tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 &&
	    ws.ws_col >= 40)
		scr.width = ws.ws_col > 160 ? 160 : ws.ws_col;
	if (!scr.width)
		scr.width = 80;
	draw_terminal(runs, charts, &scr, &s);
	emit(cmd->output, cmd->zstd, &s);
	ft_str_release(&s);
}

static void show_page(const struct cmdline *cmd, const struct runs *runs,
		      const struct charts *charts)
{
	struct page page = {
		.title = cmd->title ? cmd->title : "Training",
		.lead = cmd->lead,
		.tables = cmd->tables.v,
		.ntables = cmd->tables.n,
		.samples = cmd->samples.v,
		.nsamples = cmd->samples.n,
		.texts = cmd->texts.v,
		.ntexts = cmd->texts.n,
	};
	struct ft_str s = {0};

	write_page(&page, runs, charts, &s);
	emit(cmd->html, cmd->zstd, &s);
	ft_str_release(&s);
}

static void check_parts(const char *option, const struct ft_opt_list *l)
{
	for (int i = 0; i < l->n; i++) {
		const char *eq = strchr(l->v[i], '=');

		if (!eq || eq == l->v[i] || !eq[1])
			ft_die(FT_EXIT_USAGE, "%s wants TITLE=FILE, not '%s'",
			       option, l->v[i]);
	}
}

static void check_usage(const struct cmdline *cmd, int nruns)
{
	bool parts = cmd->tables.n || cmd->samples.n || cmd->texts.n;

	if (!cmd->html && (parts || cmd->title || cmd->lead))
		ft_die(FT_EXIT_USAGE,
		       "--title, --lead, --table, --samples and --text belong to --html");
	if (cmd->html && cmd->output)
		ft_die(FT_EXIT_USAGE, "--html names its file: no --output");
	if (!nruns && !parts)
		ft_die(FT_EXIT_USAGE,
		       "no run: give a metrics file or a trainer's output directory");
	check_parts("--table", &cmd->tables);
	check_parts("--samples", &cmd->samples);
	check_parts("--text", &cmd->texts);
	if (cmd->width && cmd->width < 40)
		ft_die(FT_EXIT_USAGE, "--width is 40 at least");
}

int main(int argc, char **argv)
{
	struct cmdline cmd = {.height = 12};
	const struct ft_opt opts[] = {
		FT_STR_FREE(0, "html", &cmd.html, "FILE",
			    "write one self-contained page there (-: stdout)"),
		FT_STR(0, "title", &cmd.title, "TEXT", "the page's title"),
		FT_STR(0, "lead", &cmd.lead, "TEXT",
		       "what stands under the title"),
		FT_LIST(0, "table", &cmd.tables, "TITLE=FILE",
			"a table of results, from JSON"),
		FT_LIST(0, "samples", &cmd.samples, "TITLE=ROWS",
			"samples side by side, from rows"),
		FT_LIST(0, "text", &cmd.texts, "TITLE=FILE", "a text as it is"),
		FT_STR(0, "metrics", &cmd.metrics, "NAMES",
		       "only these metrics, by comma"),
		FT_INT(0, "width", &cmd.width, 0, 400, "N",
		       "columns of the terminal chart (0: the terminal's, else 80)"),
		FT_INT(0, "height", &cmd.height, 3, 100, "N",
		       "lines of a terminal chart"),
		FT_ENUM(0, "color", &cmd.color, "auto|always|never",
			"colours in the terminal chart"),
		FT_STR_FREE('o', "output", &cmd.output, "FILE",
			    "write the terminal chart there"),
		FT_FLAG_FREE('z', "zstd", &cmd.zstd, "compress the output"),
		FT_END,
	};
	struct charts charts;
	struct runs runs;
	int i;

	ft_start(argv[0]);
	i = ft_opt_parse(
		argc, argv, opts, "[OPTIONS] [LABEL=]RUN...",
		"Show training runs, on the terminal or as an HTML page.");
	check_usage(&cmd, argc - i);
	runs.n = (size_t)(argc - i);
	runs.v = ft_xcalloc(runs.n + 1, sizeof(*runs.v));
	for (size_t r = 0; r < runs.n; r++)
		load_run(&runs.v[r], argv[(size_t)i + r]);
	make_charts(&runs, cmd.metrics, &charts);
	if (cmd.html)
		show_page(&cmd, &runs, &charts);
	else
		show_terminal(&cmd, &runs, &charts);
	free_charts(&charts);
	for (size_t r = 0; r < runs.n; r++)
		free_run(&runs.v[r]);
	free(runs.v);
	free(cmd.tables.v);
	free(cmd.samples.v);
	free(cmd.texts.v);
	return 0;
}
