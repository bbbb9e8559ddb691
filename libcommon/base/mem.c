/* SPDX-License-Identifier: MIT */
#include "libcommon/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "libcommon/base/die.h"

_Noreturn void ft_no_memory(size_t nbytes)
{
	ft_die(FT_EXIT_SYS, "out of memory (%zu bytes wanted)", nbytes);
}

static _Noreturn void too_large(void)
{
	ft_die(FT_EXIT_SYS, "out of memory (size does not fit)");
}

void *ft_xmalloc(size_t nbytes)
{
	void *p = malloc(nbytes ? nbytes : 1);

	if (!p)
		ft_no_memory(nbytes);
	return p;
}

void *ft_xcalloc(size_t n, size_t size)
{
	size_t nbytes;
	void *p;

	if (ft_mul(n, size, &nbytes))
		too_large();
	p = calloc(nbytes ? nbytes : 1, 1);
	if (!p)
		ft_no_memory(nbytes);
	return p;
}

void *ft_xrealloc(void *p, size_t n, size_t size)
{
	size_t nbytes;

	if (ft_mul(n, size, &nbytes))
		too_large();
	p = realloc(p, nbytes ? nbytes : 1);
	if (!p)
		ft_no_memory(nbytes);
	return p;
}

char *ft_xstrdup(const char *s)
{
	return ft_xstrndup(s, strlen(s));
}

char *ft_xstrndup(const char *s, size_t n)
{
	char *p;

	if (n == SIZE_MAX)
		too_large();
	p = ft_xmalloc(n + 1);
	if (n)
		memcpy(p, s, n);
	p[n] = 0;
	return p;
}

void ft_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

int ft_mul(size_t a, size_t b, size_t *r)
{
	size_t x;

	if (__builtin_mul_overflow(a, b, &x))
		return -1;
	*r = x;
	return 0;
}

int ft_add(size_t a, size_t b, size_t *r)
{
	size_t x;

	if (__builtin_add_overflow(a, b, &x))
		return -1;
	*r = x;
	return 0;
}

void *ft_grow(void *p, size_t used, size_t *cap, size_t more, size_t size)
{
	size_t need, want;

	if (ft_add(used, more, &need))
		too_large();
	if (need <= *cap)
		return p;
	want = *cap < 8 ? 16 : *cap;
	if (want <= SIZE_MAX / 2)
		want *= 2;
	if (want < need)
		want = need;
	p = ft_xrealloc(p, want, size);
	*cap = want;
	return p;
}

/* --- arena --------------------------------------------------------------- */

enum { ALIGN = 16, FIRST = 4096 - 64, LARGEST = 1 << 20 };

struct ft_arena_block {
	struct ft_arena_block *next; /* older */
	size_t size;                 /* of data */
	_Alignas(16) unsigned char data[];
};

static struct ft_arena_block *new_block(size_t size)
{
	size_t nbytes;
	struct ft_arena_block *b;

	if (ft_add(size, sizeof(*b), &nbytes))
		too_large();
	b = ft_xmalloc(nbytes);
	b->next = NULL;
	b->size = size;
	return b;
}

/*
 * Blocks double up to a megabyte.  A piece that would waste most of a new
 * block gets one to itself, placed behind the current block so that what is
 * left of that stays in use.
 */
static void *slow_alloc(struct ft_arena *a, size_t nbytes)
{
	size_t size = a->block ? a->block->size : FIRST / 2;
	struct ft_arena_block *b;

	size = size >= LARGEST / 2 ? LARGEST : size * 2;
	if (nbytes > size / 4 && a->block) {
		b = new_block(nbytes);
		b->next = a->block->next;
		a->block->next = b;
		return b->data;
	}
	b = new_block(nbytes > size ? nbytes : size);
	b->next = a->block;
	a->block = b;
	a->used = nbytes;
	return b->data;
}

void *ft_arena_alloc(struct ft_arena *a, size_t nbytes)
{
	void *p;

	if (nbytes > SIZE_MAX - ALIGN)
		too_large();
	nbytes = (nbytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	a->total += nbytes;
	if (!a->block || nbytes > a->block->size - a->used)
		return slow_alloc(a, nbytes);
	p = a->block->data + a->used;
	a->used += nbytes;
	return p;
}

void *ft_arena_zalloc(struct ft_arena *a, size_t nbytes)
{
	return memset(ft_arena_alloc(a, nbytes), 0, nbytes);
}

char *ft_arena_strndup(struct ft_arena *a, const char *s, size_t n)
{
	char *p;

	if (n == SIZE_MAX)
		too_large();
	p = ft_arena_alloc(a, n + 1);
	if (n)
		memcpy(p, s, n);
	p[n] = 0;
	return p;
}

static void free_blocks(struct ft_arena_block *b)
{
	while (b) {
		struct ft_arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void ft_arena_clear(struct ft_arena *a)
{
	if (a->block) {
		free_blocks(a->block->next);
		a->block->next = NULL;
	}
	a->used = 0;
	a->total = 0;
}

void ft_arena_release(struct ft_arena *a)
{
	free_blocks(a->block);
	*a = (struct ft_arena){0};
}
