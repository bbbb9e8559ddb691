/* SPDX-License-Identifier: MIT */
/* One page that needs nothing but itself: results, curves, samples, texts. */
#include "tools/ft-board/board.h"

#include <stdlib.h>
#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"

static const char style[] =
	":root{color-scheme:light dark;--bg:#fcfcfb;--card:#fff;--ink:#0b0b0b;--soft:#5d5c57;--line:#e4e3de;--grid:#ecebe6;"
	"--c0:#2a78d6;--c1:#eb6834;--c2:#1baf7a;--c3:#c98500;--c4:#4a3aa7;--c5:#e34948;--c6:#008300;--c7:#d55181}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#1a1a19;--card:#222221;--ink:#fff;--soft:#b3b2aa;--line:#383835;--grid:#2c2c2a;"
	"--c0:#3987e5;--c1:#d95926;--c2:#199e70;--c3:#c98500;--c4:#9085e9;--c5:#e66767;--c6:#3a9c3a;--c7:#d55181}}\n"
	"*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}\n"
	"main,header,footer{max-width:1200px;margin:0 auto;padding:0 24px}header{padding-top:40px}\n"
	"h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}.lead{color:var(--soft);max-width:75ch;margin:0 0 16px;white-space:pre-line}\n"
	"nav{display:flex;flex-wrap:wrap;gap:4px 18px;border-bottom:1px solid var(--line);padding-bottom:14px}nav a{color:var(--c0);text-decoration:none}nav a:hover{text-decoration:underline}\n"
	"section{margin:34px 0}h2{font-size:20px;margin:0 0 12px}h3{font-size:15px;margin:0 0 2px;font-weight:600}\n"
	".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:18px}\n"
	".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px 8px}\n"
	".key{display:flex;flex-wrap:wrap;gap:2px 16px;margin:0 0 4px;padding:0;list-style:none;font-size:13px;color:var(--soft)}\n"
	".key i{display:inline-block;width:18px;height:0;border-top:3px solid;vertical-align:middle;margin-right:6px}.key i.eval{border-top-style:dashed}.key b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}\n"
	"svg{display:block;width:100%;height:auto}svg text{font:11.5px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--grid)}.axis{stroke:var(--line)}\n"
	"polyline{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}polyline.eval{stroke-dasharray:5 4}circle.at{opacity:0}circle.at:hover{opacity:.55}\n"
	"polyline.s0{stroke:var(--c0)}polyline.s1{stroke:var(--c1)}polyline.s2{stroke:var(--c2)}polyline.s3{stroke:var(--c3)}polyline.s4{stroke:var(--c4)}polyline.s5{stroke:var(--c5)}polyline.s6{stroke:var(--c6)}polyline.s7{stroke:var(--c7)}\n"
	"circle.s0{fill:var(--c0)}circle.s1{fill:var(--c1)}circle.s2{fill:var(--c2)}circle.s3{fill:var(--c3)}circle.s4{fill:var(--c4)}circle.s5{fill:var(--c5)}circle.s6{fill:var(--c6)}circle.s7{fill:var(--c7)}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:15px;font-variant-numeric:tabular-nums}\n"
	"th,td{text-align:left;padding:7px 18px 7px 0;border-bottom:1px solid var(--line);vertical-align:middle;white-space:nowrap}thead th{color:var(--soft);font-weight:500;font-size:13px}tbody th{font-weight:500}small{color:var(--soft)}\n"
	".ci{display:inline-block;width:110px;height:14px;vertical-align:middle;margin:0 8px}.ci line{stroke:var(--c0);stroke-width:2;opacity:.55}.ci circle{fill:var(--c0)}.yes{color:var(--c2);font-weight:600}.no{color:var(--c5);font-weight:600}\n"
	"pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow:auto;margin:0;padding:12px 14px;background:var(--card);border:1px solid var(--line);border-radius:8px;tab-size:4}\n"
	"pre.prompt{white-space:pre-wrap;margin:8px 0 12px;border-left:4px solid var(--c0)}.side pre{max-height:620px}figure{margin:0;min-width:0}figcaption{font-size:13px;color:var(--soft);margin:0 0 4px}\n"
	".side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(360px,100%),1fr));gap:14px}\n"
	"details{border-bottom:1px solid var(--line);padding:8px 0}details[open]{padding-bottom:18px}summary{cursor:pointer;font-weight:500}\n"
	"footer{color:var(--soft);font-size:13px;padding-bottom:40px}";

void add_html(struct ft_str *out, const char *s, size_t n)
{
	for (size_t i = 0, k; i < n; i += k ? k : 1) {
		unsigned char c = (unsigned char)s[i];

		k = ft_utf8_len(s + i, n - i);
		if (c == '&')
			ft_str_adds(out, "&amp;");
		else if (c == '<')
			ft_str_adds(out, "&lt;");
		else if (c == '>')
			ft_str_adds(out, "&gt;");
		else if (c == '"')
			ft_str_adds(out, "&quot;");
		else if (!k || (c < 0x20 && c != '\n' && c != '\t') ||
			 c == 0x7f)
			ft_str_adds(out,
				    "\xef\xbf\xbd"); /* no character of HTML */
		else
			ft_str_add(out, s + i, k);
	}
}

static void add_text(struct ft_str *out, const char *s)
{
	add_html(out, s, strlen(s));
}

/* TITLE=FILE, as the command line was checked: the title into *title (owned by the caller), FILE returned. */
static const char *split(const char *arg, char **title)
{
	const char *eq = strchr(arg, '=');

	*title = ft_xstrndup(arg, (size_t)(eq - arg));
	return eq + 1;
}

static void add_titles(const char *kind, const char **args, int n,
		       struct ft_str *out)
{
	for (int i = 0; i < n; i++) {
		char *title;

		split(args[i], &title);
		ft_str_addf(out, "<a href=\"#%s%d\">", kind, i);
		add_text(out, title);
		ft_str_adds(out, "</a>\n");
		free(title);
	}
}

static void add_sections(const char *kind, const char **args, int n,
			 void (*add)(const char *file, struct ft_str *out),
			 struct ft_str *out)
{
	for (int i = 0; i < n; i++) {
		char *title;
		const char *file = split(args[i], &title);

		ft_str_addf(out, "<section id=\"%s%d\"><h2>", kind, i);
		add_text(out, title);
		ft_str_adds(out, "</h2>\n");
		add(file, out);
		ft_str_adds(out, "</section>\n");
		free(title);
	}
}

static void add_file(const char *file, struct ft_str *out)
{
	struct ft_err err;
	size_t n;
	char *s = ft_read_file(file, (size_t)1 << 24, &n, &err);

	if (!s)
		ft_die_err(&err);
	for (size_t i = 0, k; i < n; i += k) {
		k = ft_utf8_len(s + i, n - i);
		if (!k)
			ft_die(FT_EXIT_DATA, "%s: not UTF-8", file);
	}
	ft_str_adds(out, "<pre>");
	add_html(out, s, n);
	ft_str_adds(out, "</pre>\n");
	free(s);
}

static void add_card(const struct chart *c, const struct runs *runs,
		     struct ft_str *out)
{
	ft_str_adds(out, "<div class=\"card\"><h3>");
	add_text(out, c->title);
	ft_str_adds(out, "</h3>\n<ul class=\"key\">");
	for (size_t i = 0; i < c->n; i++) {
		const struct line *l = &c->v[i];

		ft_str_addf(out,
			    "<li><i%s style=\"border-color:var(--c%zu)\"></i>",
			    l->eval ? " class=\"eval\"" : "", l->run % 8);
		add_text(out, runs->v[l->run].label);
		ft_str_adds(out, l->eval ? " (eval) <b>" : " <b>");
		add_number(out, l->s->v[l->s->n - 1].value);
		ft_str_adds(out, "</b></li>");
	}
	ft_str_adds(out, "</ul>\n");
	add_svg(c, runs, out);
	ft_str_adds(out, "</div>\n");
}

static void add_curves(const struct runs *runs, const struct charts *charts,
		       struct ft_str *out)
{
	if (!charts->n)
		return;
	ft_str_adds(
		out,
		"<section id=\"curves\"><h2>Training</h2>\n<div class=\"cards\">\n");
	for (size_t i = 0; i < charts->n; i++)
		add_card(&charts->v[i], runs, out);
	ft_str_adds(out, "</div></section>\n");
}

void write_page(const struct page *page, const struct runs *runs,
		const struct charts *charts, struct ft_str *out)
{
	ft_str_adds(
		out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
	add_text(out, page->title);
	ft_str_addf(
		out,
		"</title>\n<style>\n%s\n</style>\n</head>\n<body>\n<header>\n<h1>",
		style);
	add_text(out, page->title);
	ft_str_adds(out, "</h1>\n");
	if (page->lead) {
		ft_str_adds(out, "<p class=\"lead\">");
		add_text(out, page->lead);
		ft_str_adds(out, "</p>\n");
	}
	ft_str_adds(out, "<nav>\n");
	add_titles("table", page->tables, page->ntables, out);
	if (charts->n)
		ft_str_adds(out, "<a href=\"#curves\">Training</a>\n");
	add_titles("sample", page->samples, page->nsamples, out);
	add_titles("text", page->texts, page->ntexts, out);
	ft_str_adds(out, "</nav>\n</header>\n<main>\n");
	add_sections("table", page->tables, page->ntables, add_table, out);
	add_curves(runs, charts, out);
	add_sections("sample", page->samples, page->nsamples, add_samples, out);
	add_sections("text", page->texts, page->ntexts, add_file, out);
	ft_str_adds(out, "</main>\n<footer>ft-board " FT_VERSION
			 "</footer>\n</body>\n</html>\n");
}
