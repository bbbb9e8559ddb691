/* SPDX-License-Identifier: MIT */
/* A whole file: mapped and read to its last byte; and what was parsed, written
   as a header, parses to the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libcommon/io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct ft_st *st)
{
	struct ft_str hdr = {0};
	struct ft_st b;
	struct ft_err err;

	if (ft_st_header(st->t, st->n, st->meta, st->nmeta, 0, 8, &hdr, &err) <
		    0 ||
	    ft_st_parse(&b, hdr.s + 8, hdr.n - 8, st->ndata, &err) < 0)
		abort();
	if (b.n != st->n || b.nmeta != st->nmeta)
		abort();
	for (size_t i = 0; i < st->n; i++) {
		const struct ft_tensor *t = ft_st_find(&b, st->t[i].name);

		if (!t || t->dtype != st->t[i].dtype ||
		    t->ndim != st->t[i].ndim || t->nbytes != st->t[i].nbytes ||
		    memcmp(t->shape, st->t[i].shape, sizeof(t->shape)) != 0)
			abort();
	}
	ft_st_release(&b);
	ft_str_release(&hdr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static volatile unsigned sum;
	int fd = memfd_create("fuzz", 0);
	struct ft_st st;
	struct ft_err err;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (ft_st_open(&st, path, &err) == 0) {
		for (size_t i = 0; i < st.n; i++) {
			const unsigned char *p = st.t[i].data;

			for (size_t k = 0; k < st.t[i].nbytes; k++)
				sum += p[k];
		}
		again(&st);
		ft_st_release(&st);
	}
	close(fd);
	return 0;
}
