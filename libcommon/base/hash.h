/* SPDX-License-Identifier: MIT */
/* XXH64 (seed 0), which vouches for streams, and SHA-256, which names files. */
#ifndef FT_BASE_HASH_H
#define FT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct ft_xxh64 {
	uint64_t v[4], total;
	unsigned char buf[32];
	size_t nbuf;
};
void ft_xxh64_init(struct ft_xxh64 *h);
void ft_xxh64_add(struct ft_xxh64 *h, const void *p, size_t n);
uint64_t ft_xxh64_end(const struct ft_xxh64 *h); /* may go on after it */

struct ft_sha256 {
	uint32_t h[8];
	uint64_t total;
	unsigned char buf[64];
	size_t nbuf;
};
void ft_sha256_init(struct ft_sha256 *s);
void ft_sha256_add(struct ft_sha256 *s, const void *p, size_t n);
void ft_sha256_hex(struct ft_sha256 *s, char hex[65]); /* ends it */

#endif
