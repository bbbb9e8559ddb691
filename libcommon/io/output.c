/* SPDX-License-Identifier: MIT */
#include "libcommon/io/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "libcommon/base/mem.h"
#include "libcommon/base/str.h"

enum { BUFFER = 1 << 16, ZSTD_LEVEL = 3, MAX_TEMP = 64 };

struct ft_output {
	int fd;
	bool failed;        /* a write failed: nothing may be committed */
	char *path;         /* owned; NULL for stdout */
	char *temp;         /* owned; NULL when written straight to path */
	int slot;           /* of temp in the table below, or -1 */
	mode_t mode;        /* what the finished file is to have */
	ZSTD_CStream *zstd; /* NULL: as it is */
	uint64_t told;
	size_t n;
	unsigned char buf[BUFFER];
};

/* --- temporary files to remove when the process ends ---------------------
 * A slot is claimed (state 1), filled, then published (2); the handler, which
 * may run at any moment, only unlinks published ones.
 */

static struct {
	atomic_int state;
	char path[4096];
} temps[MAX_TEMP];
static atomic_int owner; /* the process they belong to, not a child of it */

static void unlink_temps(void)
{
	if (atomic_load(&owner) != (int)getpid())
		return;
	for (int i = 0; i < MAX_TEMP; i++) {
		if (atomic_load(&temps[i].state) == 2)
			unlink(temps[i].path);
	}
}

static void on_signal(int sig)
{
	int saved = errno;
	sigset_t set;

	unlink_temps();
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	errno = saved;
}

/* Only where the default action stands: a tool with handlers of its own
   leaves by exit, and a signal that is ignored stays so. */
static void install(void)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct sigaction sa, old;

	atexit(unlink_temps);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++) {
		memset(&sa, 0, sizeof(sa));
		sa.sa_handler = on_signal;
		sigfillset(&sa.sa_mask);
		if (sigaction(sigs[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_DFL)
			sigaction(sigs[i], &sa, NULL);
	}
}

static int remember_temp(const char *path)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	atomic_store(&owner, (int)getpid());
	for (int i = 0; i < MAX_TEMP; i++) {
		int empty = 0;

		if (strlen(path) >= sizeof(temps[i].path))
			return -1;
		if (!atomic_compare_exchange_strong(&temps[i].state, &empty, 1))
			continue;
		memcpy(temps[i].path, path, strlen(path) + 1);
		atomic_store(&temps[i].state, 2);
		return i;
	}
	return -1; /* then only ft_output_abort removes it */
}

static void forget_temp(int slot)
{
	if (slot >= 0)
		atomic_store(&temps[slot].state, 0);
}

/* --- opening ------------------------------------------------------------- */

static const char *name_of(const struct ft_output *o)
{
	return o->path ? o->path : "standard output";
}

static int write_error(struct ft_output *o, struct ft_err *err)
{
	o->failed = true;
	return ft_err_sys(err, "cannot write '%s'", name_of(o));
}

static void free_output(struct ft_output *o)
{
	ZSTD_freeCStream(o->zstd);
	free(o->path);
	free(o->temp);
	free(o);
}

/* ".NAME.tmp.PID" beside path; a counter tells two of a process apart. */
static char *temp_name(const char *path)
{
	static atomic_int count;
	const char *slash = strrchr(path, '/'),
		   *base = slash ? slash + 1 : path;
	size_t dir = (size_t)(base - path), n = strlen(path) + 64;
	char *s = ft_xmalloc(n);
	int k = atomic_fetch_add(&count, 1);

	snprintf(s, n, "%.*s.%s.tmp.%ld", (int)dir, path, base, (long)getpid());
	if (k)
		snprintf(s + strlen(s), n - strlen(s), ".%d", k);
	return s;
}

static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

/*
 * A regular file is replaced by rename, at the end of a symbolic link too; a
 * device or a fifo cannot be and is written to as it is.
 */
static int open_path(struct ft_output *o, const char *path, struct ft_err *err)
{
	struct stat st;
	char *real = NULL;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode)) {
			errno = EISDIR;
			return ft_err_sys(err, "cannot write '%s'", path);
		}
		if (!S_ISREG(st.st_mode)) {
			o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
			return o->fd < 0 ? ft_err_sys(err, "cannot open '%s'",
						      path)
					 : 0;
		}
		if (access(path, W_OK))
			return ft_err_sys(err, "cannot write '%s'", path);
		o->mode = st.st_mode & 0777;
		real = realpath(path, NULL);
	} else {
		o->mode = usual_mode();
	}
	o->temp = temp_name(real ? real : path);
	if (real) {
		free(o->path);
		o->path = real;
	}
	/* Remembered first: a signal between the two finds nothing to remove. */
	o->slot = remember_temp(o->temp);
	unlink(o->temp); /* of a former process with this number */
	o->fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (o->fd >= 0)
		return 0;
	ft_err_sys(err, "cannot create '%s'", path);
	forget_temp(o->slot);
	return -1;
}

int ft_output_open(struct ft_output **out, const char *path, bool zstd,
		   struct ft_err *err)
{
	struct ft_output *o = ft_xmalloc(sizeof(*o));

	memset(o, 0, offsetof(struct ft_output, buf));
	*out = NULL;
	o->fd = STDOUT_FILENO;
	o->slot = -1;
	if (path && strcmp(path, "-") != 0) {
		o->path = ft_xstrdup(path);
		if (open_path(o, path, err)) {
			free_output(o);
			return -1;
		}
	}
	if (zstd) {
		o->zstd = ZSTD_createCStream();
		if (!o->zstd ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(
			    o->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(
			    o->zstd, ZSTD_c_checksumFlag, 1))) {
			ft_output_abort(o);
			return ft_err_set(err, FT_EXIT_SYS,
					  "cannot start zstd compression");
		}
	}
	*out = o;
	return 0;
}

/* --- writing ------------------------------------------------------------- */

int ft_write_fd(int fd, const void *p, size_t n)
{
	const char *s = p;

	while (n) {
		ssize_t r = write(fd, s, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			errno = r < 0 ? errno : ENOSPC;
			return -1;
		}
		s += r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_all(struct ft_output *o, const void *p, size_t n,
		     struct ft_err *err)
{
	if (ft_write_fd(o->fd, p, n))
		return write_error(o, err);
	return 0;
}

static int empty_buffer(struct ft_output *o, struct ft_err *err)
{
	size_t n = o->n;

	o->n = 0;
	return write_all(o, o->buf, n, err);
}

/* With zstd, buf holds compressed bytes. */
static int compress(struct ft_output *o, const void *p, size_t n,
		    ZSTD_EndDirective how, struct ft_err *err)
{
	ZSTD_inBuffer in = {p, n, 0};
	size_t left;

	do {
		ZSTD_outBuffer to = {o->buf, BUFFER, o->n};

		left = ZSTD_compressStream2(o->zstd, &to, &in, how);
		if (ZSTD_isError(left)) {
			o->failed = true;
			return ft_err_set(err, FT_EXIT_SYS,
					  "cannot compress '%s': %s",
					  name_of(o), ZSTD_getErrorName(left));
		}
		o->n = to.pos;
		if (o->n == BUFFER && empty_buffer(o, err))
			return -1;
	} while (how == ZSTD_e_continue ? in.pos < in.size : left);
	return 0;
}

int ft_output_write(struct ft_output *o, const void *p, size_t n,
		    struct ft_err *err)
{
	size_t k = 0;

	if (o->failed) {
		errno = EIO;
		return write_error(o, err);
	}
	o->told += n;
	if (o->zstd)
		return n ? compress(o, p, n, ZSTD_e_continue, err) : 0;
	if (o->n) {
		k = BUFFER - o->n < n ? BUFFER - o->n : n;
		memcpy(o->buf + o->n, p, k);
		o->n += k;
		if (o->n == BUFFER && empty_buffer(o, err))
			return -1;
	}
	p = (const char *)p + k;
	n -= k;
	if (n >= BUFFER)
		return write_all(o, p, n, err);
	if (n)
		memcpy(o->buf + o->n, p, n);
	o->n += n;
	return 0;
}

int ft_output_flush(struct ft_output *o, struct ft_err *err)
{
	if (o->zstd && compress(o, NULL, 0, ZSTD_e_flush, err))
		return -1;
	return empty_buffer(o, err);
}

uint64_t ft_output_tell(const struct ft_output *o)
{
	return o->told;
}

/* --- ending -------------------------------------------------------------- */

void ft_output_abort(struct ft_output *o)
{
	if (!o)
		return;
	if (o->fd > STDERR_FILENO)
		close(o->fd);
	if (o->temp)
		unlink(o->temp);
	forget_temp(o->slot);
	free_output(o);
}

/* The directory that holds path; free it. */
static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return ft_xstrdup(".");
	return ft_xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int publish(struct ft_output *o, struct ft_err *err)
{
	char *dir;
	int r;

	if (fchmod(o->fd, o->mode) || fsync(o->fd))
		return write_error(o, err);
	r = close(o->fd);
	o->fd = -1;
	if (r)
		return write_error(o, err);
	if (rename(o->temp, o->path))
		return ft_err_sys(err, "cannot rename to '%s'", o->path);
	forget_temp(o->slot);
	o->slot = -1;
	free(o->temp);
	o->temp = NULL;
	dir = dir_of(o->path);
	r = ft_sync_dir(dir, err);
	free(dir);
	return r;
}

int ft_output_commit(struct ft_output *o, struct ft_err *err)
{
	int r = -1;

	if (o->failed) {
		errno = EIO;
		write_error(o, err);
		goto out;
	}
	if (o->zstd && compress(o, NULL, 0, ZSTD_e_end, err))
		goto out;
	if (empty_buffer(o, err))
		goto out;
	if (o->temp) {
		r = publish(o, err);
		goto out;
	}
	r = 0;
	if (o->path) {
		r = close(o->fd) ? write_error(o, err) : 0;
		o->fd = -1;
	}
out:
	ft_output_abort(o);
	return r;
}

/* --- files and directories ----------------------------------------------- */

int ft_write_file(const char *path, const void *p, size_t n, struct ft_err *err)
{
	struct ft_output *o;

	if (ft_output_open(&o, path, false, err))
		return -1;
	if (ft_output_write(o, p, n, err)) {
		ft_output_abort(o);
		return -1;
	}
	return ft_output_commit(o, err);
}

static int make_dir(const char *path, struct ft_err *err)
{
	struct stat st;

	if (mkdir(path, 0777) == 0)
		return 0;
	if (errno == EEXIST || errno == EROFS || errno == EACCES) {
		int saved = errno;

		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return 0;
		errno = saved == EEXIST ? ENOTDIR : saved;
	}
	return ft_err_sys(err, "cannot make directory '%s'", path);
}

int ft_mkdirs(const char *path, struct ft_err *err)
{
	char *s = ft_xstrdup(path);
	int r = 0;

	for (char *p = s; r == 0 && *p; p++) {
		if (*p != '/' || p == s || p[-1] == '/')
			continue;
		*p = 0;
		r = make_dir(s, err);
		*p = '/';
	}
	if (r == 0)
		r = make_dir(s, err);
	free(s);
	return r;
}

static int remove_dir(const char *path, int depth, struct ft_err *err)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int r = 0;

	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return ft_err_sys(err, "cannot open '%s'", path);
	while (r == 0 && (errno = 0, e = readdir(d))) {
		struct ft_str s = {0};

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		ft_str_addf(&s, "%s/%s", path, e->d_name);
		if (unlink(s.s) && errno != ENOENT) {
			if ((errno == EISDIR || errno == EPERM) && depth > 0)
				r = remove_dir(s.s, depth - 1, err);
			else
				r = ft_err_sys(err, "cannot remove '%s'", s.s);
		}
		ft_str_release(&s);
	}
	closedir(d);
	if (r == 0 && rmdir(path) && errno != ENOENT)
		r = ft_err_sys(err, "cannot remove '%s'", path);
	return r;
}

int ft_remove_dir(const char *path, struct ft_err *err)
{
	return remove_dir(path, 1, err);
}

/* Not every file system has files that never had a name. */
static int open_temp(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct ft_str s = {0};
	char *name;

	if (fd >= 0 ||
	    (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	ft_str_addf(&s, "%s/copy", dir);
	name = temp_name(s.s);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlink(name);
	free(name);
	ft_str_release(&s);
	return fd;
}

int ft_temp_open(const char *dir, struct ft_err *err)
{
	char *at = ft_xstrdup(*dir ? dir : ".");
	int fd = open_temp(at);

	while (fd < 0 && errno == ENOENT && strcmp(at, ".") != 0 &&
	       strcmp(at, "/") != 0) {
		char *up = dir_of(at);

		free(at);
		at = up;
		fd = open_temp(at);
	}
	if (fd < 0)
		ft_err_sys(err, "cannot create a file in '%.200s'", at);
	free(at);
	return fd;
}

int ft_sync_dir(const char *path, struct ft_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return ft_err_sys(err, "cannot open '%s'", path);
	/* Some file systems have no such thing; then there is nothing to do. */
	if (fsync(fd) && errno != EINVAL && errno != ENOTSUP)
		r = ft_err_sys(err, "cannot sync '%s'", path);
	close(fd);
	return r;
}
