/* SPDX-License-Identifier: MIT */
#include "libcommon/io/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "libcommon/base/mem.h"
#include "libcommon/io/output.h"

enum { BUFFER = 1 << 17, WINDOW_LOG = 27 };

struct ft_input {
	int fd;     /* -1 when over memory */
	char *name; /* owned */
	ZSTD_DStream *zstd;
	bool started;  /* the magic number has been looked for */
	bool in_frame; /* zstd: a frame is open */
	bool eof, failed;
	size_t at, end; /* unread bytes of from */
	const unsigned char *from;
	unsigned char *buf; /* owned; NULL when over memory */
	int copy;           /* -1, or where all that is read is written too */
	char *copy_dir;     /* owned; for messages */
};

static struct ft_input *new_input(const char *name)
{
	struct ft_input *in = ft_xcalloc(1, sizeof(*in));

	in->fd = in->copy = -1;
	in->name = ft_xstrdup(name);
	return in;
}

int ft_input_open(struct ft_input **out, const char *path, struct ft_err *err)
{
	bool std = !path || strcmp(path, "-") == 0;
	int fd = STDIN_FILENO;
	struct ft_input *in;

	*out = NULL;
	if (!std)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		ft_err_sys(err, "cannot open '%s'", path);
		return -1;
	}
	in = new_input(std ? "-" : path);
	in->fd = fd;
	in->buf = ft_xmalloc(BUFFER);
	in->from = in->buf;
	*out = in;
	return 0;
}

int ft_input_mem(struct ft_input **out, const void *p, size_t n,
		 struct ft_err *err)
{
	struct ft_input *in = new_input("memory");

	(void)err;
	in->from = p;
	in->end = n;
	in->eof = true;
	*out = in;
	return 0;
}

void ft_input_close(struct ft_input *in)
{
	if (!in)
		return;
	if (in->fd > STDERR_FILENO)
		close(in->fd);
	if (in->copy >= 0)
		close(in->copy);
	ZSTD_freeDStream(in->zstd);
	free(in->copy_dir);
	free(in->buf);
	free(in->name);
	free(in);
}

const char *ft_input_name(const struct ft_input *in)
{
	return in->name;
}

static int fail(struct ft_input *in, struct ft_err *err)
{
	in->failed = true;
	return ft_err_at(err, in->name, 0);
}

/* Up to n bytes as they come; 0 at the end. */
static ssize_t read_some(struct ft_input *in, void *p, size_t n,
			 struct ft_err *err)
{
	ssize_t r;

	if (in->eof)
		return 0;
	do
		r = read(in->fd, p, n);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		ft_err_sys(err, "cannot read");
		return fail(in, err);
	}
	in->eof = r == 0;
	return r;
}

/* Have bytes in the buffer, unless at the end. */
static int refill(struct ft_input *in, struct ft_err *err)
{
	ssize_t r;

	if (in->at < in->end || in->eof)
		return 0;
	r = read_some(in, in->buf, BUFFER, err);
	if (r < 0)
		return -1;
	in->at = 0;
	in->end = (size_t)r;
	return 0;
}

/* May a compressed file begin so?  With a frame, or with one to be skipped
   (pzstd puts its table of sizes first). */
static bool begins(const unsigned char *p, size_t n)
{
	static const unsigned char frame[4] = {0x28, 0xB5, 0x2F, 0xFD};
	static const unsigned char skip[4] = {0x50, 0x2A, 0x4D, 0x18};

	n = n < 4 ? n : 4;
	return memcmp(p, frame, n) == 0 ||
	       ((p[0] & 0xF0) == skip[0] &&
		memcmp(p + 1, skip + 1, n - 1) == 0);
}

/* Only as many bytes as it takes: a pipe may hold back the fourth. */
static int look_for_magic(struct ft_input *in, struct ft_err *err)
{
	in->started = true;
	while (in->end < 4 && !in->eof &&
	       (in->end == 0 || begins(in->from, in->end))) {
		ssize_t r =
			read_some(in, in->buf + in->end, BUFFER - in->end, err);

		if (r < 0)
			return -1;
		in->end += (size_t)r;
	}
	if (in->end < 4 || !begins(in->from, in->end))
		return 0;
	in->zstd = ZSTD_createDStream();
	if (!in->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(
				 in->zstd, ZSTD_d_windowLogMax, WINDOW_LOG))) {
		ft_err_set(err, FT_EXIT_SYS, "cannot start zstd decompression");
		return fail(in, err);
	}
	return 0;
}

/* A frame may end without giving a byte, so go on until there is one. */
static ssize_t read_zstd(struct ft_input *in, void *p, size_t n,
			 struct ft_err *err)
{
	ZSTD_outBuffer to = {p, n, 0};

	while (to.pos == 0) {
		ZSTD_inBuffer from;
		size_t r;

		if (refill(in, err))
			return -1;
		from = (ZSTD_inBuffer){in->from, in->end, in->at};
		if (in->at == in->end && !in->in_frame)
			return 0;
		r = ZSTD_decompressStream(in->zstd, &to, &from);
		if (ZSTD_isError(r)) {
			ft_err_set(err, FT_EXIT_DATA, "bad zstd data: %s",
				   ZSTD_getErrorName(r));
			return fail(in, err);
		}
		if (from.pos == in->end && in->eof && r && !to.pos) {
			ft_err_set(err, FT_EXIT_DATA, "truncated zstd data");
			return fail(in, err);
		}
		in->at = from.pos;
		in->in_frame = r != 0;
	}
	return (ssize_t)to.pos;
}

static ssize_t read_bytes(struct ft_input *in, void *p, size_t n,
			  struct ft_err *err)
{
	size_t k;

	if (in->failed) {
		ft_err_set(err, FT_EXIT_SYS, "read after an error");
		return fail(in, err);
	}
	if (!in->started && look_for_magic(in, err))
		return -1;
	if (!n)
		return 0;
	if (n > SSIZE_MAX)
		n = SSIZE_MAX;
	if (in->zstd)
		return read_zstd(in, p, n, err);
	if (in->at == in->end && n >= BUFFER)
		return read_some(in, p, n, err);
	if (refill(in, err))
		return -1;
	k = in->end - in->at < n ? in->end - in->at : n;
	if (k)
		memcpy(p, in->from + in->at, k);
	in->at += k;
	return (ssize_t)k;
}

static int write_copy(struct ft_input *in, const void *p, size_t n,
		      struct ft_err *err)
{
	if (!ft_write_fd(in->copy, p, n))
		return 0;
	ft_err_sys(err, "cannot write a copy in '%.200s'", in->copy_dir);
	return fail(in, err);
}

ssize_t ft_input_read(struct ft_input *in, void *p, size_t n,
		      struct ft_err *err)
{
	ssize_t r = read_bytes(in, p, n, err);

	if (r > 0 && in->copy >= 0 && write_copy(in, p, (size_t)r, err) < 0)
		return -1;
	return r;
}

int ft_input_exact(struct ft_input *in, void *p, size_t n, struct ft_err *err)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = ft_input_read(in, (char *)p + done, n - done, err);

		if (r < 0)
			return -1;
		if (r == 0 && done == 0)
			return 0;
		if (r == 0) {
			ft_err_set(err, FT_EXIT_DATA,
				   "truncated: %zu of %zu bytes", done, n);
			return fail(in, err);
		}
		done += (size_t)r;
	}
	return 1;
}

/* --- reading again ------------------------------------------------------- */

int ft_input_keep(struct ft_input *in, struct ft_kept *k, const char *dir,
		  struct ft_err *err)
{
	bool start = in->fd >= 0 && lseek(in->fd, 0, SEEK_CUR) == 0;

	*k = (struct ft_kept){.fd = -1};
	if (!in->started && look_for_magic(in, err))
		return -1;
	if (start && fstat(in->fd, &k->was) == 0 && S_ISREG(k->was.st_mode) &&
	    k->was.st_size && !in->zstd) {
		k->fd = fcntl(in->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	} else {
		k->copy = true;
		in->copy = ft_temp_open(dir, err);
		if (in->copy < 0)
			return fail(in, err);
		in->copy_dir = ft_xstrdup(dir);
		k->fd = fcntl(in->copy, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	}
	if (k->fd < 0) {
		ft_err_sys(err, "cannot keep it open");
		return fail(in, err);
	}
	k->name = ft_xstrdup(in->name);
	return 0;
}

int ft_kept_read(const struct ft_kept *k, void *buf, size_t n, uint64_t at,
		 struct ft_err *err)
{
	char *p = buf;

	while (n) {
		ssize_t r = pread(k->fd, p, n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			ft_err_sys(err, "cannot read");
		else if (r == 0)
			ft_err_set(err, FT_EXIT_DATA,
				   "became shorter while it was in use");
		if (r <= 0)
			return ft_err_at(err, k->name, 0);
		p += r;
		n -= (size_t)r;
		at += (uint64_t)r;
	}
	return 0;
}

int ft_kept_check(const struct ft_kept *k, struct ft_err *err)
{
	struct stat is;

	if (k->copy)
		return 0;
	if (fstat(k->fd, &is) < 0)
		ft_err_sys(err, "cannot stat");
	else if (is.st_size != k->was.st_size ||
		 is.st_mtim.tv_sec != k->was.st_mtim.tv_sec ||
		 is.st_mtim.tv_nsec != k->was.st_mtim.tv_nsec)
		ft_err_set(err, FT_EXIT_DATA, "changed while it was in use");
	else
		return 0;
	return ft_err_at(err, k->name, 0);
}

void ft_kept_release(struct ft_kept *k)
{
	if (k->name)
		close(k->fd);
	free(k->name);
	*k = (struct ft_kept){.fd = -1};
}

char *ft_read_file(const char *path, size_t max, size_t *n, struct ft_err *err)
{
	struct ft_input *in;
	char *s = NULL;
	size_t len = 0, cap = 0;
	ssize_t r;

	if (ft_input_open(&in, path, err))
		return NULL;
	do {
		FT_GROW(s, len, cap, 4096);
		r = ft_input_read(in, s + len, cap - len - 1, err);
		len += r > 0 ? (size_t)r : 0;
		if (len > max) {
			ft_err_set(err, FT_EXIT_DATA, "larger than %zu bytes",
				   max);
			r = fail(in, err);
		}
	} while (r > 0);
	ft_input_close(in);
	if (r < 0) {
		free(s);
		return NULL;
	}
	s[len] = 0;
	if (n)
		*n = len;
	return s;
}
