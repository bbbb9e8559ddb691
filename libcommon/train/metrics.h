/* SPDX-License-Identifier: MIT */
/*
 * Metrics as JSONL (ft-metrics(5)): one writer, a line a record; and the line
 * of progress for people.  Neither ever stops a run: a metrics file that
 * cannot be written is said once.
 */
#ifndef FT_TRAIN_METRICS_H
#define FT_TRAIN_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "libcommon/base/str.h"

struct ft_metrics {
	int fd;
	bool failed;
	struct ft_str
		history; /* every record, for trainer_state.json: objects with commas between */
};

/* Opens path to append; records of steps after keep_steps are cut off first,
   and a run's last one (a resumed run writes them again). */
int ft_metrics_open(struct ft_metrics *m, const char *path, int64_t keep_steps,
		    struct ft_err *err);
void ft_metrics_close(struct ft_metrics *m);
/* Add a record, an object's text, to history: what a checkpoint kept of it. */
void ft_metrics_remember(struct ft_metrics *m, const char *record, size_t n);
/* fields is the inside of an object: "\"loss\":1.5,\"epoch\":0.1".  step and
   time are put before. */
void ft_metrics_put(struct ft_metrics *m, int64_t step, const char *fields);
/* The same, but not into history: it holds what no two runs have alike. */
void ft_metrics_write(struct ft_metrics *m, int64_t step, const char *fields);
/* Append ,"name":value (without the comma when s is empty). */
void ft_metric(struct ft_str *s, const char *prefix, const char *name,
	       double v);

/* Seconds of a clock that only goes forward. */
double ft_now(void);
/* Peak resident memory of this process, bytes. */
uint64_t ft_peak_memory(void);

struct ft_progress {
	bool tty;
	bool open; /* a line stands on the terminal */
	double start;
	int64_t first; /* step the run began at */
};
void ft_progress_start(struct ft_progress *p, int64_t step);
/* On a terminal redraws one line; else prints a plain line when log is set. */
void ft_progress_step(struct ft_progress *p, bool log, int64_t step,
		      int64_t total, const char *values, double tokens_per_s);
void ft_progress_end(struct ft_progress *p);

#endif
