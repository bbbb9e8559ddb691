/* SPDX-License-Identifier: MIT */
/*
 * tokspeed TOKENIZER TEXTS THREADS: how fast texts in memory become ids, for
 * tests/bench/tokenizers_speed.py, which takes turns with other packages.
 *
 * TEXTS is records {u32 nbytes, bytes}.  Each line of stdin is answered with a
 * line: "cold" loads the tokenizer anew and encodes all texts, "warm" encodes
 * them again; the answer is seconds of the encoding (the thread's own time with
 * one thread, else the clock's) and ids.  "load": seconds of loading.  "ids":
 * SHA-256 of all ids as int32, in order.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/base/hash.h"
#include "libcommon/base/mem.h"
#include "libcommon/base/thread.h"
#include "libcommon/io/input.h"
#include "libcommon/text/tokenizer.h"

enum { MAX_THREADS = 256 };

struct text {
	const char *s;
	size_t n;
};

struct bench {
	const char *path;
	struct ft_tok *tok;
	struct text *text;
	size_t ntext;
	int threads;
	struct ft_pool *pool;
	struct ft_ids ids[MAX_THREADS];
	size_t count[MAX_THREADS];
};

static _Noreturn void fail(const struct ft_err *err)
{
	fprintf(stderr, "tokspeed: %s\n", err->msg);
	exit(3);
}

static double now(int threads)
{
	struct timespec t;

	clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC,
		      &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double load(struct bench *b)
{
	struct ft_err err;
	double t;

	ft_tok_free(b->tok);
	t = now(1);
	if (ft_tok_load(&b->tok, b->path, &err))
		fail(&err);
	return now(1) - t;
}

static void one(void *arg, size_t i, int worker)
{
	struct bench *b = arg;
	struct ft_ids *v = &b->ids[worker];
	struct ft_err err;

	ft_ids_clear(v);
	if (ft_tok_encode(b->tok, b->text[i].s, b->text[i].n, 0, v, &err))
		fail(&err);
	b->count[worker] += v->n;
}

static double all(struct bench *b, size_t *n)
{
	double t = now(b->threads);

	memset(b->count, 0, sizeof(b->count));
	ft_pool_run(b->pool, one, b, b->ntext);
	t = now(b->threads) - t;
	*n = 0;
	for (int i = 0; i < b->threads; i++)
		*n += b->count[i];
	return t;
}

static void digest(struct bench *b, char hex[65])
{
	struct ft_sha256 h;

	ft_sha256_init(&h);
	for (size_t i = 0; i < b->ntext; i++) {
		one(b, i, 0);
		ft_sha256_add(&h, b->ids[0].id,
			      b->ids[0].n * sizeof(*b->ids[0].id));
	}
	ft_sha256_hex(&h, hex);
}

static void read_texts(struct bench *b, const char *path)
{
	struct ft_err err;
	size_t n, cap = 0;
	char *s = ft_read_file(path, (size_t)1 << 30, &n, &err);
	uint32_t k;

	if (!s)
		fail(&err);
	for (size_t at = 0; at + sizeof(k) <= n; at += k) {
		memcpy(&k, s + at, sizeof(k));
		at += sizeof(k);
		FT_GROW(b->text, b->ntext, cap, 1);
		b->text[b->ntext++] = (struct text){s + at, k};
	}
}

static void answer(struct bench *b, const char *what)
{
	char hex[65];
	size_t n;

	if (!strcmp(what, "load\n")) {
		printf("%.9f\n", load(b));
	} else if (!strcmp(what, "ids\n")) {
		digest(b, hex);
		printf("%s\n", hex);
	} else {
		if (!strcmp(what, "cold\n"))
			load(b);
		printf("%.9f ", all(b, &n));
		printf("%zu\n", n);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct bench b;
	char line[16];

	if (argc != 4) {
		fputs("usage: tokspeed TOKENIZER TEXTS THREADS\n", stderr);
		return 2;
	}
	b.path = argv[1];
	b.pool = ft_pool_new((int)strtol(argv[3], NULL, 10));
	b.threads = ft_pool_threads(b.pool);
	if (b.threads > MAX_THREADS)
		return 2;
	read_texts(&b, argv[2]);
	load(&b);
	while (fgets(line, sizeof(line), stdin))
		answer(&b, line);
	return 0;
}
