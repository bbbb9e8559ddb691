/* SPDX-License-Identifier: MIT */
#include "libcommon/train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/base/die.h"
#include "libcommon/base/mem.h"
#include "libcommon/io/input.h"
#include "libcommon/io/json.h"
#include "libcommon/io/output.h"

void ft_metrics_remember(struct ft_metrics *m, const char *record, size_t n)
{
	if (m->history.n)
		ft_str_addc(&m->history, ',');
	ft_str_addc(&m->history, '\n');
	ft_str_adds(&m->history, "    ");
	ft_str_add(&m->history, record, n);
}

/* Leave lines of steps up to keep alone in a file; a line that a full disk or
   a kill tore goes too. */
static int keep_lines(const char *path, int64_t keep, struct ft_err *err)
{
	struct ft_str kept = {0};
	struct ft_arena a = {0};
	struct ft_json *o;
	struct stat sb;
	size_t n;
	char *text, *line, *end;
	int rc = 0;

	if (stat(path, &sb) < 0 || !S_ISREG(sb.st_mode))
		return 0;
	text = ft_read_file(path, (size_t)1 << 32, &n, err);
	if (!text)
		return -1;
	for (line = text; (end = memchr(line, '\n', (size_t)(text + n - line)));
	     line = end + 1) {
		int64_t step = 0;
		struct ft_err ignored;

		ft_arena_clear(&a);
		if (ft_json_parse(&a, line, (size_t)(end - line), &o,
				  &ignored) < 0 ||
		    ft_json_int(o, "step", &step, &ignored) <= 0 ||
		    step > keep || ft_json_get(o, "train_runtime"))
			continue;
		ft_str_add(&kept, line, (size_t)(end - line) + 1);
	}
	if (kept.n != n)
		rc = ft_write_file(path, ft_str_cstr(&kept), kept.n, err);
	ft_arena_release(&a);
	ft_str_release(&kept);
	free(text);
	return rc;
}

int ft_metrics_open(struct ft_metrics *m, const char *path, int64_t keep,
		    struct ft_err *err)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND;

	m->failed = false;
	if (keep > 0 && keep_lines(path, keep, err) < 0)
		return -1;
	m->fd = open(path, keep > 0 ? flags : flags | O_TRUNC, 0666);
	if (m->fd < 0)
		return ft_err_sys(err, "cannot open '%s'", path);
	return 0;
}

void ft_metrics_close(struct ft_metrics *m)
{
	if (m->fd >= 0)
		close(m->fd);
	ft_str_release(&m->history);
	m->fd = -1;
}

void ft_metrics_write(struct ft_metrics *m, int64_t step, const char *fields)
{
	struct ft_str s = {0};
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ft_str_addf(&s, "{\"step\":%lld,\"time\":%lld.%09ld,%s}\n",
		    (long long)step, (long long)ts.tv_sec, ts.tv_nsec, fields);
	if (write(m->fd, s.s, s.n) != (ssize_t)s.n && !m->failed) {
		m->failed = true;
		ft_warn("cannot write metrics: %s", strerror(errno));
	}
	ft_str_release(&s);
}

void ft_metrics_put(struct ft_metrics *m, int64_t step, const char *fields)
{
	struct ft_str s = {0};

	ft_metrics_write(m, step, fields);
	/* what a checkpoint keeps holds no time: same run, same bytes */
	ft_str_addf(&s, "{\"step\":%lld,%s}", (long long)step, fields);
	ft_metrics_remember(m, s.s, s.n);
	ft_str_release(&s);
}

void ft_metric(struct ft_str *s, const char *prefix, const char *name, double v)
{
	ft_str_addf(s, "%s\"%s%s\":", s->n ? "," : "", prefix, name);
	ft_str_add_double(s, v);
}

double ft_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

uint64_t ft_peak_memory(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)u.ru_maxrss << 10;
}

void ft_progress_start(struct ft_progress *p, int64_t step)
{
	*p = (struct ft_progress){.tty = isatty(STDERR_FILENO) &&
					 !ft_json_errors && ft_verbosity >= 0,
				  .start = ft_now(),
				  .first = step};
}

static void eta(double s, char buf[32])
{
	long t = s < 0 || s > 1e8 ? 0 : (long)(s + 0.5);

	if (t >= 3600)
		snprintf(buf, 32, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60,
			 t % 60);
	else
		snprintf(buf, 32, "%ld:%02ld", t / 60, t % 60);
}

void ft_progress_step(struct ft_progress *p, bool log, int64_t step,
		      int64_t total, const char *values, double tokens_per_s)
{
	double per = (ft_now() - p->start) / (double)(step - p->first);
	char left[32];

	if (ft_verbosity < 0 || (!p->tty && !log))
		return;
	eta(per * (double)(total - step), left);
	if (!p->tty) {
		ft_info("step %lld/%lld %s %.0f tok/s eta %s %llu MB",
			(long long)step, (long long)total, values, tokens_per_s,
			left, (unsigned long long)(ft_peak_memory() >> 20));
		return;
	}
	dprintf(STDERR_FILENO,
		"\r%s: step %lld/%lld %s %.0f tok/s eta %s %llu MB\033[K%s",
		ft_progname(), (long long)step, (long long)total, values,
		tokens_per_s, left,
		(unsigned long long)(ft_peak_memory() >> 20), log ? "\n" : "");
	p->open = !log;
}

void ft_progress_end(struct ft_progress *p)
{
	if (p->open)
		dprintf(STDERR_FILENO, "\n");
	p->open = false;
}
