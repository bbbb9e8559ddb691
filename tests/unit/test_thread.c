/* SPDX-License-Identifier: MIT */
#include "libcommon/base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/base/mem.h"
#include "tests/lib/test.h"

struct job {
	int *hits;          /* per piece; plain, so that TSan sees a race */
	atomic_int *busy;   /* per worker */
	atomic_bool shared; /* two pieces at once with one worker's index */
	int nthreads;
	uint64_t *out;
};

static void piece(void *arg, size_t i, int worker)
{
	struct job *j = arg;
	uint64_t x = i;

	if (worker < 0 || worker >= j->nthreads ||
	    atomic_fetch_add(&j->busy[worker], 1))
		atomic_store(&j->shared, true);
	for (size_t k = 0; k < i % 100; k++)
		x = x * 6364136223846793005u + 1;
	j->hits[i]++;
	j->out[i] = x;
	if (worker >= 0 && worker < j->nthreads)
		atomic_fetch_sub(&j->busy[worker], 1);
}

static void run(int nthreads, size_t n, int runs)
{
	struct ft_pool *p = ft_pool_new(nthreads);
	struct job j = {.nthreads = ft_pool_threads(p)};
	bool once = true;

	j.hits = ft_xcalloc(n, sizeof(*j.hits));
	j.out = ft_xcalloc(n, sizeof(*j.out));
	j.busy = ft_xcalloc((size_t)j.nthreads, sizeof(*j.busy));
	for (int k = 0; k < runs; k++) {
		ft_pool_run(p, piece, &j, n);
		for (size_t i = 0; i < n; i++)
			once = once && j.hits[i] == k + 1;
	}
	CHECK(once, "%d threads, %zu pieces, %d runs: each piece once",
	      nthreads, n, runs);
	CHECK(!atomic_load(&j.shared), "an index is one thread's at a time");
	ft_pool_free(p);
	free(j.hits);
	free(j.out);
	free(j.busy);
}

static void add(void *arg, size_t i, int worker)
{
	(void)worker;
	((size_t *)arg)[i] += i;
}

static void slow(void *arg, size_t i, int worker)
{
	struct timespec nap = {0, 5000000};

	(void)i;
	nanosleep(&nap, NULL);
	atomic_fetch_add(&((atomic_int *)arg)[worker], 1);
}

/* However long they slept, both take a share. */
static void test_share(void)
{
	struct ft_pool *p = ft_pool_new(2);
	struct timespec nap = {0, 50000000};
	atomic_int n[2] = {0};

	nanosleep(&nap, NULL);
	ft_pool_run(p, slow, n, 20);
	CHECK(ft_pool_threads(p) < 2 || (n[0] > 2 && n[1] > 2),
	      "both of two work: %d and %d pieces", n[0], n[1]);
	ft_pool_free(p);
}

/* Workers fall asleep between runs: they must wake, and none may be lost. */
static void test_sleep(void)
{
	struct ft_pool *p = ft_pool_new(3);
	struct timespec nap = {0, 3000000};
	size_t v[64] = {0};
	bool ok = true;

	for (int k = 0; k < 30; k++) {
		nanosleep(&nap, NULL);
		ft_pool_run(p, add, v, 64);
	}
	for (size_t i = 0; i < 64; i++)
		ok = ok && v[i] == 30 * i;
	CHECK(ok, "runs with naps between them");
	ft_pool_free(p);
}

/* Jobs that follow at once, of other sizes and arguments: a worker that is
   late for one must not touch the next. */
static void test_late(void)
{
	struct ft_pool *p = ft_pool_new(4);
	size_t *v = ft_xcalloc(100, sizeof(*v)), *w = ft_xcalloc(3, sizeof(*w));
	bool ok = true;

	for (int k = 0; k < 5000; k++) {
		ft_pool_run(p, add, v, 100);
		ft_pool_run(p, add, w, 3);
	}
	for (size_t i = 0; i < 100; i++)
		ok = ok && v[i] == 5000 * i;
	CHECK(ok && w[2] == 10000, "10000 runs back to back");
	ft_pool_free(p);
	free(v);
	free(w);
}

int main(void)
{
	struct ft_pool *p = ft_pool_new(0);

	CHECK(ft_pool_threads(p) >= 1, "as many threads as processors");
	ft_pool_run(p, add, NULL, 0);
	ft_pool_free(p);
	ft_pool_free(NULL);
	run(1, 100, 3);
	run(2, 1, 50);
	run(2, 1000, 50);
	run(3, 7, 200);
	run(8, 5000, 20);
	test_share();
	test_sleep();
	test_late();
	return test_done();
}
