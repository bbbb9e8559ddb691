/* SPDX-License-Identifier: MIT */
#include "libcommon/base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/base/mem.h"

/*
 * The ticket is (run number, next piece) in one word.  A piece is claimed by
 * compare-and-swap, so a thread that comes late, or that is still reading the
 * job of a run that ended, claims nothing; a run need not wait for sleepers.
 */
enum { PIECE_BITS = 36, SPINS = 4000 };
#define PIECE_MASK ((UINT64_C(1) << PIECE_BITS) - 1)
#define MAX_PIECES (PIECE_MASK - 1)

struct ft_pool {
	int n;          /* threads, the caller included */
	int spins;      /* before sleeping; 0 where threads outnumber CPUs */
	pthread_t *tid; /* [n - 1] */
	struct worker *worker;

	_Alignas(64) _Atomic uint64_t ticket;
	_Alignas(64) _Atomic size_t done; /* pieces finished in this run */
	_Alignas(64) _Atomic(ft_work_fn *) fn;
	_Atomic(void *) arg;
	_Atomic size_t npiece;

	pthread_mutex_t lock;
	pthread_cond_t wake, finished;
	atomic_int asleep;         /* workers in wake */
	atomic_bool caller_asleep; /* in finished */
	atomic_bool stop;
};

struct worker {
	struct ft_pool *pool;
	int index;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int cpus(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return CPU_COUNT(&set);
	n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > 4096 ? 4096 : (int)n;
}

/* Claim and run pieces until none is left; returns the run number seen. */
static uint64_t work(struct ft_pool *p, int index)
{
	uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);

	for (;;) {
		ft_work_fn *fn = atomic_load(&p->fn);
		void *arg = atomic_load(&p->arg);
		size_t n = atomic_load(&p->npiece), i = t & PIECE_MASK;

		if (i >= n)
			return t >> PIECE_BITS;
		if (!atomic_compare_exchange_strong(&p->ticket, &t, t + 1))
			continue; /* t is the new value */
		fn(arg, i, index);
		if (atomic_fetch_add(&p->done, 1) + 1 == n &&
		    atomic_load(&p->caller_asleep)) {
			pthread_mutex_lock(&p->lock);
			pthread_cond_signal(&p->finished);
			pthread_mutex_unlock(&p->lock);
		}
		t = atomic_load_explicit(&p->ticket, memory_order_acquire);
	}
}

static bool newer(struct ft_pool *p, uint64_t seen)
{
	return atomic_load(&p->ticket) >> PIECE_BITS != seen ||
	       atomic_load(&p->stop);
}

static void wait_for_run(struct ft_pool *p, uint64_t seen)
{
	for (int i = 0; i < p->spins; i++) {
		if (newer(p, seen))
			return;
		relax();
	}
	pthread_mutex_lock(&p->lock);
	atomic_fetch_add(&p->asleep, 1);
	while (!newer(p, seen))
		pthread_cond_wait(&p->wake, &p->lock);
	atomic_fetch_sub(&p->asleep, 1);
	pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct ft_pool *p = w->pool;

	while (!atomic_load(&p->stop))
		wait_for_run(p, work(p, w->index));
	return NULL;
}

static void wake_all(struct ft_pool *p)
{
	if (!atomic_load(&p->asleep))
		return;
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

/* Signals are the main thread's business. */
static void start_workers(struct ft_pool *p)
{
	sigset_t all, old;
	int i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 1; i < p->n; i++) {
		struct worker *w = &p->worker[i - 1];

		*w = (struct worker){p, i};
		if (pthread_create(&p->tid[i - 1], NULL, worker_main, w))
			break; /* fewer threads, same results */
	}
	p->n = i;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct ft_pool *ft_pool_new(int nthreads)
{
	int ncpu = cpus(), n = nthreads > 0 ? nthreads : ncpu;
	struct ft_pool *p = aligned_alloc(64, sizeof(*p));

	if (!p)
		ft_no_memory(sizeof(*p));
	*p = (struct ft_pool){.n = n, .spins = n > ncpu ? 0 : SPINS};
	p->tid = ft_xcalloc((size_t)n, sizeof(*p->tid));
	p->worker = ft_xcalloc((size_t)n, sizeof(*p->worker));
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->finished, NULL);
	start_workers(p);
	return p;
}

void ft_pool_free(struct ft_pool *p)
{
	if (!p)
		return;
	atomic_store(&p->stop, true);
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 1; i < p->n; i++)
		pthread_join(p->tid[i - 1], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_cond_destroy(&p->finished);
	pthread_mutex_destroy(&p->lock);
	free(p->tid);
	free(p->worker);
	free(p);
}

int ft_pool_threads(const struct ft_pool *p)
{
	return p->n;
}

static void wait_until_done(struct ft_pool *p, size_t n)
{
	for (int i = 0; i < p->spins; i++) {
		if (atomic_load(&p->done) == n)
			return;
		relax();
	}
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->caller_asleep, true);
	while (atomic_load(&p->done) != n)
		pthread_cond_wait(&p->finished, &p->lock);
	atomic_store(&p->caller_asleep, false);
	pthread_mutex_unlock(&p->lock);
}

void ft_pool_run(struct ft_pool *p, ft_work_fn *fn, void *arg, size_t n)
{
	uint64_t run = atomic_load(&p->ticket) >> PIECE_BITS;

	if (p->n == 1 || n <= 1 || n > MAX_PIECES) {
		for (size_t i = 0; i < n; i++)
			fn(arg, i, 0);
		return;
	}
	/* Close the old run before the job changes under a late reader. */
	atomic_store(&p->ticket, run << PIECE_BITS | PIECE_MASK);
	atomic_store(&p->fn, fn);
	atomic_store(&p->arg, arg);
	atomic_store(&p->npiece, n);
	atomic_store(&p->done, 0);
	atomic_store(&p->ticket, (run + 1) << PIECE_BITS);
	wake_all(p);
	work(p, 0);
	wait_until_done(p, n);
}
