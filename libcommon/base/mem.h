/* SPDX-License-Identifier: MIT */
/*
 * Memory.  ft_x* end the program with status 4 when there is none: the one
 * place where library code may exit, since a half-handled lack of memory is
 * never tested.  Sizes that come from files go through ft_mul first.
 */
#ifndef FT_BASE_MEM_H
#define FT_BASE_MEM_H

#include <stddef.h>

void *ft_xmalloc(size_t nbytes);
void *ft_xcalloc(size_t n, size_t size);
void *ft_xrealloc(void *p, size_t n, size_t size); /* n * size, checked */
char *ft_xstrdup(const char *s);
char *ft_xstrndup(const char *s, size_t n);

/* How they end, for allocators of other libraries. */
_Noreturn void ft_no_memory(size_t nbytes);

/* Give back to the system what was freed, as far as the C library can. */
void ft_trim(void);

/* *r = a * b (a + b); returns -1 and leaves *r alone on overflow. */
int ft_mul(size_t a, size_t b, size_t *r);
int ft_add(size_t a, size_t b, size_t *r);

/*
 * Make room in an array for n more elements, doubling: p and cap are updated.
 * FT_GROW(a.v, a.n, a.cap, 1); a.v[a.n++] = x;
 */
#define FT_GROW(p, used, cap, more) \
	((p) = ft_grow((p), (used), &(cap), (more), sizeof(*(p))))
void *ft_grow(void *p, size_t used, size_t *cap, size_t more, size_t size);

/*
 * An arena: many small pieces that live and die together (a parsed row, a
 * configuration).  Pieces are aligned to 16 bytes and never move.  Zeroed
 * struct = empty arena.
 */
struct ft_arena_block;
struct ft_arena {
	struct ft_arena_block *block; /* owned */
	size_t used;                  /* of the current block */
	size_t total; /* bytes handed out since the last clear */
};
void *ft_arena_alloc(struct ft_arena *a, size_t nbytes);
void *ft_arena_zalloc(struct ft_arena *a, size_t nbytes);
char *ft_arena_strndup(struct ft_arena *a, const char *s, size_t n);
void ft_arena_clear(struct ft_arena *a);   /* keeps one block for reuse */
void ft_arena_release(struct ft_arena *a); /* frees all */

#endif
