/* SPDX-License-Identifier: MIT */
/*
 * A pool of threads that run the same function over indexed pieces of work.
 * What a piece computes must not depend on which thread runs it, nor on how
 * many there are: that is how results stay the same for any --threads.
 */
#ifndef FT_BASE_THREAD_H
#define FT_BASE_THREAD_H

#include <stddef.h>

struct ft_pool;

/* worker is in [0, nthreads): an index for scratch memory, nothing else. */
typedef void ft_work_fn(void *arg, size_t piece, int worker);

/* nthreads 0 = the processors this process may use.  The caller is one of
   them: a pool of one starts no thread. */
struct ft_pool *ft_pool_new(int nthreads);
void ft_pool_free(struct ft_pool *p);
int ft_pool_threads(const struct ft_pool *p);
/*
 * Run fn on pieces 0..n-1, each exactly once; pieces are claimed in order.
 * Returns when all are done.  Workers spin some microseconds before they
 * sleep, so that a step's many small calls stay cheap.  Not reentrant.
 */
void ft_pool_run(struct ft_pool *p, ft_work_fn *fn, void *arg, size_t n);

#endif
