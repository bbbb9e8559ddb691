/* SPDX-License-Identifier: MIT */
/* Single documents of a stream, for tstream.h. */
#include "libcommon/io/tstream.h"

#include <stdlib.h>

enum {
	CHUNK = 1 << 20, /* memory taken ahead of the bytes */
};

#define NO_END "truncated: no end document"

/* n bytes, or fewer at the end of the input; -1. */
static ssize_t fill(struct ft_input *in, void *p, size_t n, struct ft_err *err)
{
	size_t have = 0;
	ssize_t k = 1;

	while (have < n && k > 0) {
		k = ft_input_read(in, (char *)p + have, n - have, err);
		if (k < 0)
			return -1;
		have += (size_t)k;
	}
	return (ssize_t)have;
}

/* n bytes into a buffer that grows as they come: a header may claim any
   size. */
static int fill_growing(struct ft_input *in, unsigned char **p, size_t *cap,
			uint64_t n, struct ft_err *err)
{
	size_t have = 0;

	while (have < n) {
		size_t step = n - have < CHUNK ? (size_t)(n - have) : CHUNK;
		ssize_t k;

		FT_GROW(*p, have, *cap, step);
		k = fill(in, *p + have, step, err);
		if (k < 0)
			return -1;
		if ((size_t)k < step)
			return ft_err_set(err, FT_EXIT_DATA, NO_END);
		have += step;
	}
	return 0;
}

static int read_header(struct ft_doc *d, struct ft_input *in, uint64_t len,
		       struct ft_err *err)
{
	unsigned char *p = (unsigned char *)d->hdr.s;
	int rc;

	if (len == 0 || len > FT_DOC_MAXHEADER)
		return ft_err_set(
			err, FT_EXIT_DATA,
			d->pos ? "document %s of %ju bytes"
			       : "not a token stream: %s of %ju bytes",
			"header", (uintmax_t)len);
	rc = fill_growing(in, &p, &d->hdr.cap, len, err);
	d->hdr.s = (char *)p;
	d->hdr.n = rc < 0 ? 0 : (size_t)len;
	return rc;
}

int ft_doc_read(struct ft_doc *d, struct ft_input *in, struct ft_err *err)
{
	unsigned char b[8];
	uint64_t len = 0;
	ssize_t k = fill(in, b, sizeof(b), err);

	ft_st_release(&d->st);
	d->pos = d->end;
	if (k == 0)
		return 0;
	if (k > 0 && k < 8)
		ft_err_set(err, FT_EXIT_DATA, NO_END);
	if (k < 8)
		goto bad;
	for (int i = 0; i < 8; i++)
		len |= (uint64_t)b[i] << (8 * i);
	if (read_header(d, in, len, err) < 0 ||
	    ft_st_parse(&d->st, d->hdr.s, d->hdr.n, UINT64_MAX, err) < 0)
		goto bad;
	if (d->pos == 0 && (!ft_st_meta(&d->st, "ft.format") || d->st.n)) {
		ft_err_set(err, FT_EXIT_DATA,
			   "not a token stream: no ft.format at its start");
		goto bad;
	}
	if (d->st.ndata > FT_DOC_MAXDATA) {
		ft_err_set(err, FT_EXIT_DATA,
			   "document of %ju bytes; %d are allowed",
			   (uintmax_t)d->st.ndata, FT_DOC_MAXDATA);
		goto bad;
	}
	if (fill_growing(in, &d->data, &d->cap, d->st.ndata, err) < 0)
		goto bad;
	d->ndata = (size_t)d->st.ndata;
	for (size_t i = 0; i < d->st.n; i++)
		d->st.t[i].data = d->data + d->st.t[i].offset;
	d->end = d->pos + 8 + d->hdr.n + d->ndata;
	return 1;
bad:
	return ft_err_at(err, ft_input_name(in), 0);
}

void ft_doc_release(struct ft_doc *d)
{
	ft_st_release(&d->st);
	ft_str_release(&d->hdr);
	free(d->data);
	*d = (struct ft_doc){0};
}
