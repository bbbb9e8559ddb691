/* SPDX-License-Identifier: MIT */
/*
 * A conversation at a terminal.  What a person types goes through the model's
 * own chat template with all that was said before; the answer is shown as it
 * comes, in whole characters.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/json.h"
#include "tools/ft-generate/generate.h"

enum { LINE = 4096 };

static const char fence[] = "\"\"\"";
static const char about[] =
	"Ctrl-C stops an answer, Ctrl-D ends; /clear begins anew; a message of several lines stands between lines of \"\"\"";

/* --- interrupts: noted here, acted on between tokens --- */

static volatile sig_atomic_t interrupted;
static int wake[2]; /* what waits for a line sees it there, whenever it came */

static void on_interrupt(int sig)
{
	int was = errno;

	interrupted = sig;
	if (write(wake[1], "", 1) < 0)
		errno = was;
}

static void catch_interrupt(void)
{
	struct sigaction a = {.sa_handler = on_interrupt,
			      .sa_flags = SA_RESTART};

	if (pipe2(wake, O_NONBLOCK | O_CLOEXEC) < 0)
		ft_die_errno("no pipe");
	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
}

static void forget_interrupt(void)
{
	char buf[64];

	while (read(wake[0], buf, sizeof(buf)) > 0)
		;
	interrupted = 0;
}

/* Until there is something to read: 0; -1 interrupted. */
static int wait_input(void)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = wake[0], .events = POLLIN}};

	while (poll(p, 2, -1) < 0) {
		if (errno != EINTR)
			ft_die_errno("cannot wait for standard input");
	}
	return p[1].revents ? -1 : 0;
}

struct talk {
	const struct cmdline *cmd;
	struct ft_loaded *l;
	struct ft_tok *tok;
	struct ft_chat *chat;
	struct ft_output *out;
	struct ft_gen *gen;
	struct ft_gen_opts opts;
	bool terminal; /* somebody types */

	char **said; /* messages as JSON, owned: a person's, an answer, ... */
	size_t nsaid, cap;
	uint64_t turn;

	struct ft_ids ids; /* of all that was said, up to the answer */
	bool asked;
	struct ft_ids answer;
	struct ft_str text; /* of it, so far */
	size_t shown;       /* bytes of text */
	bool cut;           /* it came to its longest */

	char in[LINE]; /* what was read and is in no line yet */
	size_t at, n;
};

static void show(struct talk *t, const char *s, size_t n)
{
	struct ft_err err;

	if (ft_output_write(t->out, s, n, &err) < 0 ||
	    ft_output_flush(t->out, &err) < 0)
		ft_die_err(&err);
}

/* --- what is typed --- */

/* A line without its end: 1; 0 at the end; -1 interrupted. */
static int read_line(struct talk *t, struct ft_str *line)
{
	ft_str_clear(line);
	for (;;) {
		const char *from = t->in + t->at;
		const char *end = memchr(from, '\n', t->n - t->at);
		ssize_t n;

		ft_str_add(line, from,
			   end ? (size_t)(end - from) : t->n - t->at);
		t->at = end ? (size_t)(end + 1 - t->in) : t->n;
		if (end)
			return 1;
		if (wait_input() < 0)
			return -1;
		n = read(STDIN_FILENO, t->in, sizeof(t->in));
		if (n < 0)
			ft_die_errno("cannot read standard input");
		t->at = 0;
		t->n = (size_t)n;
		if (!n)
			return line->n > 0;
	}
}

static void prompt(const struct talk *t, const char *what)
{
	if (t->terminal)
		fputs(what, stderr);
}

/* A line, or those between fences. */
static int read_message(struct talk *t, struct ft_str *m)
{
	struct ft_str line = {0};
	int rc;

	prompt(t, "> ");
	rc = read_line(t, m);
	if (rc > 0 && !strcmp(ft_str_cstr(m), fence)) {
		ft_str_clear(m);
		prompt(t, ". ");
		while ((rc = read_line(t, &line)) > 0 &&
		       strcmp(ft_str_cstr(&line), fence) != 0) {
			if (m->n)
				ft_str_addc(m, '\n');
			ft_str_add(m, ft_str_cstr(&line), line.n);
			prompt(t, ". ");
		}
	}
	ft_str_release(&line);
	if (rc < 0) {
		forget_interrupt();
		t->at = t->n = 0;
		prompt(t, "\n");
	}
	return rc;
}

/* --- what was said --- */

static void add_said(struct talk *t, const char *role, const char *s, size_t n)
{
	struct ft_str m = {0};

	ft_str_addf(&m, "{\"role\":\"%s\",\"content\":", role);
	ft_str_add_json(&m, s, n);
	ft_str_addc(&m, '}');
	FT_GROW(t->said, t->nsaid, t->cap, 1);
	t->said[t->nsaid++] = m.s;
}

static void forget(struct talk *t, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++)
		free(t->said[i]);
	memmove(t->said + from, t->said + from + n,
		(t->nsaid - from - n) * sizeof(*t->said));
	t->nsaid -= n;
}

/* Its ids, up to where the answer begins. */
static int encode(struct talk *t, struct ft_err *err)
{
	struct ft_chat_messages m = {0};
	struct ft_jinja_out out = {0};
	struct ft_arena a = {0};
	struct ft_str row = {0};
	struct ft_json *o;
	int rc;

	ft_str_adds(&row, "{\"messages\":[");
	for (size_t i = 0; i < t->nsaid; i++)
		ft_str_addf(&row, "%s%s", i ? "," : "", t->said[i]);
	ft_str_adds(&row, "]}");
	ft_ids_clear(&t->ids);
	rc = ft_json_parse(&a, row.s, row.n, &o, err);
	if (!rc)
		rc = ft_chat_add(&m, ft_json_get(o, "messages"), "messages",
				 err);
	if (!rc)
		rc = ft_chat_render(t->chat, o, &m, m.n, true, SIZE_MAX, &out,
				    err);
	if (!rc)
		rc = ft_tok_encode_marked(t->tok, ft_str_cstr(&out.text),
					  out.text.n, NULL, &t->ids, err);
	ft_chat_messages_release(&m);
	ft_jinja_out_release(&out);
	ft_arena_release(&a);
	ft_str_release(&row);
	return rc;
}

/* As much of what was said as the model has positions for, beside an answer,
   which may have half of them; the first goes first. */
static int fit(struct talk *t, struct ft_err *err)
{
	size_t most = ft_model_config(t->l->model)->max_pos, gone = 0;
	size_t new = (size_t)t->cmd->gen.max_new, own;

	if (t->cmd->max_prompt && (size_t)t->cmd->max_prompt + new < most)
		most = (size_t)t->cmd->max_prompt + new;
	own = new < most / 2 ? new : most / 2;
	if (encode(t, err) < 0)
		return -1;
	while (t->ids.n + own > most && t->nsaid > 2) {
		forget(t, 0, 2);
		gone += 2;
		if (encode(t, err) < 0)
			return -1;
	}
	if (gone)
		ft_info("the first %zu messages do not fit any more and are forgotten",
			gone);
	if (t->ids.n >= most)
		return ft_err_set(
			err, FT_EXIT_DATA,
			"%zu tokens are too many: there is room for %zu",
			t->ids.n, most);
	t->opts.max_new =
		(int64_t)(t->ids.n + new > most ? most - t->ids.n : new);
	return 0;
}

/* --- answers --- */

static int on_next(void *self, struct ft_gen_prompt *p, struct ft_err *err)
{
	struct talk *t = self;

	(void)err;
	*p = (struct ft_gen_prompt){
		.ids = t->ids.id, .n = t->ids.n, .key = t->turn};
	t->asked = !t->asked;
	return t->asked;
}

/* How much of a text that goes on will stay as it is: not the parts of a
   character, nor what may become a stop string. */
static size_t settled(const struct talk *t)
{
	size_t n = t->text.n, back = 0;

	while (n >= 3 && !memcmp(t->text.s + n - 3, "\xef\xbf\xbd", 3))
		n -= 3;
	for (int i = 0; i < t->cmd->stop.n; i++) {
		size_t len = strlen(t->cmd->stop.v[i]);

		back = len > back + 1 ? len - 1 : back;
	}
	n = n > back ? n - back : 0;
	while (n && n < t->text.n && (t->text.s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* Decode what there is, and show what is sure; true where it is to end. */
static bool proceed(struct talk *t, bool end)
{
	struct ft_err err;
	size_t n, stop;

	ft_str_clear(&t->text);
	if (ft_tok_decode(t->tok, t->answer.id, t->answer.n, true, &t->text,
			  &err) < 0)
		ft_die_err(&err);
	stop = find_stop(t->cmd, ft_str_cstr(&t->text), t->text.n, t->text.n);
	if (stop < t->text.n)
		t->text.n = stop;
	n = end || stop != SIZE_MAX ? t->text.n : settled(t);
	if (n > t->shown) {
		show(t, t->text.s + t->shown, n - t->shown);
		t->shown = n;
	}
	return stop != SIZE_MAX;
}

static bool on_token(void *self, size_t p, size_t sample, int32_t id)
{
	struct talk *t = self;

	(void)p;
	(void)sample;
	ft_ids_add(&t->answer, id, 0, 0);
	return proceed(t, false) || interrupted;
}

static int on_done(void *self, const struct ft_gen_out *o, struct ft_err *err)
{
	struct talk *t = self;

	(void)err;
	t->cut = !o->stopped;
	return 0;
}

/* -1 with err: the message could not be answered, and is forgotten. */
static int answer(struct talk *t, struct ft_err *err)
{
	const struct ft_gen_io io = {
		.self = t, .next = on_next, .token = on_token, .done = on_done};

	if (fit(t, err) < 0) {
		forget(t, t->nsaid - 1, 1);
		return -1;
	}
	ft_ids_clear(&t->answer);
	ft_str_clear(&t->text);
	t->shown = 0;
	t->turn++;
	if (ft_gen_run(t->gen, &io, err) < 0)
		ft_die_err(err);
	proceed(t, true);
	show(t, "\n", 1);
	forget_interrupt();
	if (t->cut)
		ft_info("cut at %lld tokens (--max-new-tokens)",
			(long long)t->opts.max_new);
	if (t->text.n)
		add_said(t, "assistant", t->text.s, t->text.n);
	else
		forget(t, t->nsaid - 1, 1);
	return 0;
}

void talk(const struct cmdline *cmd, struct ft_loaded *l, struct ft_tok *tok,
	  struct ft_chat *chat, struct ft_output *out)
{
	struct talk t = {.cmd = cmd,
			 .l = l,
			 .tok = tok,
			 .chat = chat,
			 .out = out,
			 .opts = cmd->gen,
			 .terminal = isatty(STDIN_FILENO)};
	struct ft_str m = {0};
	struct ft_err err;
	int rc;

	t.opts.batch = t.opts.samples = 1;
	t.gen = ft_gen_new(l->model, l->has_adapter ? &l->adapter : NULL,
			   &t.opts);
	catch_interrupt();
	if (t.terminal)
		ft_info("%s", about);
	while ((rc = read_message(&t, &m))) {
		if (rc < 0 || !m.n)
			continue;
		if (!strcmp(m.s, "/clear")) {
			forget(&t, 0, t.nsaid);
			continue;
		}
		add_said(&t, "user", m.s, m.n);
		if (answer(&t, &err) < 0)
			ft_warn("%s", err.msg);
	}
	prompt(&t, "\n");
	signal(SIGINT, SIG_DFL);
	close(wake[0]);
	close(wake[1]);
	forget(&t, 0, t.nsaid);
	free(t.said);
	ft_gen_free(t.gen);
	ft_ids_release(&t.ids);
	ft_ids_release(&t.answer);
	ft_str_release(&t.text);
	ft_str_release(&m);
}
