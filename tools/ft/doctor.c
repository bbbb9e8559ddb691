/* SPDX-License-Identifier: MIT */
/*
 * What this machine offers to the tools, one line a thing.  What is merely
 * absent (a GPU) is said; what is asked for and cannot be had, or does not
 * work, is marked with "!" and makes the status 1.
 */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <jq.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zstd.h>

#include "kernels/ftk.h"
#include "libcommon/base/die.h"
#include "libcommon/base/str.h"
#include "tools/ft/ft.h"

enum { MIN_FILES = 256, LINE = 8192 };

static int wrong;

static void say(const char *name, bool ok, const char *fmt, ...)
	FT_PRINTF(3, 4);

static void say(const char *name, bool ok, const char *fmt, ...)
{
	va_list ap;

	wrong += !ok;
	printf("%c %-12s", ok ? ' ' : '!', name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static double gib(double nbytes)
{
	return nbytes / (1024.0 * 1024.0 * 1024.0);
}

/* The rest of the first line of path that begins with key, after blanks and a
   colon; 0 when there is none. */
static int file_value(const char *path, const char *key, char *out, size_t size)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	int found = 0;

	if (!f)
		return 0;
	while (!found && getline(&line, &cap, f) > 0) {
		const char *s = line;

		if (!ft_starts(line, key))
			continue;
		s += strlen(key);
		s += strspn(s, " \t:");
		snprintf(out, size, "%.*s", (int)strcspn(s, "\n"), s);
		found = 1;
	}
	free(line);
	fclose(f);
	return found;
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *s = strstr(words, word); s; s = strstr(s + 1, word)) {
		if ((s == words || s[-1] == ' ') && (!s[n] || s[n] == ' '))
			return true;
	}
	return false;
}

static void say_cpu(void)
{
	static const char *const parts[] = {
		"avx2",        "fma",         "f16c",     "avx512f",
		"avx512bw",    "avx512vl",    "avx512dq", "avx512_vnni",
		"avx512_bf16", "avx512_fp16", "amx_bf16", "asimd",
		"bf16",
	};
	char buf[LINE];
	struct ft_str has = {0};
	struct utsname u;
	cpu_set_t set;

	if (!uname(&u))
		say("system", true, "%s %s %s", u.sysname, u.release,
		    u.machine);
	say("cpu", true, "%s",
	    file_value("/proc/cpuinfo", "model name", buf, sizeof(buf))
		    ? buf
		    : "model unknown");
	if (file_value("/proc/cpuinfo", "flags", buf, sizeof(buf)) ||
	    file_value("/proc/cpuinfo", "Features", buf, sizeof(buf))) {
		for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
			if (has_word(buf, parts[i]))
				ft_str_addf(&has, "%s%s", has.n ? " " : "",
					    parts[i]);
		}
	}
	say("features", true, "%s", has.n ? has.s : "none that ft uses");
	ft_str_release(&has);
	if (!sched_getaffinity(0, sizeof(set), &set))
		say("cores", true, "%d usable of %ld online", CPU_COUNT(&set),
		    sysconf(_SC_NPROCESSORS_ONLN));
	if (file_value("/sys/fs/cgroup/cpu.max", "", buf, sizeof(buf)) &&
	    !ft_starts(buf, "max"))
		say("cpu limit", true, "%s us (cgroup: quota, period)", buf);
}

static void say_isa(void)
{
	const char *cap = getenv("FT_ISA"), *why = "";
	struct ftk *k = ftk_open("cpu", NULL, &why);

	if (!cap || !*cap)
		cap = NULL;
	if (!k) {
		say("kernels", false, "%s", why);
		return;
	}
	say("kernels", true, "%s%s%s%s", k->isa, cap ? " (FT_ISA=" : "",
	    cap ? cap : "", cap ? ")" : "");
	k->close(k);
}

static void say_memory(void)
{
	char total[LINE], avail[LINE], cap[LINE];
	struct rlimit rl;
	struct statvfs fs;

	if (file_value("/proc/meminfo", "MemTotal", total, sizeof(total)) &&
	    file_value("/proc/meminfo", "MemAvailable", avail, sizeof(avail)))
		say("memory", true, "%.1f GiB, %.1f GiB available",
		    gib(strtod(total, NULL) * 1024),
		    gib(strtod(avail, NULL) * 1024));
	if (file_value("/sys/fs/cgroup/memory.max", "", cap, sizeof(cap)) &&
	    !ft_starts(cap, "max"))
		say("memory cap", true, "%.1f GiB (cgroup)",
		    gib(strtod(cap, NULL)));
	if (!getrlimit(RLIMIT_AS, &rl) && rl.rlim_cur != RLIM_INFINITY)
		say("memory cap", true, "%.1f GiB (ulimit -v)",
		    gib((double)rl.rlim_cur));
	if (!statvfs(".", &fs))
		say("disk", true, "%.1f GiB free here",
		    gib((double)fs.f_bavail * (double)fs.f_frsize));
	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		bool ok = rl.rlim_cur >= MIN_FILES;

		say("open files", ok, "%ju (may be raised to %ju)%s",
		    (uintmax_t)rl.rlim_cur, (uintmax_t)rl.rlim_max,
		    ok ? "" : "; raise it with ulimit -n");
	}
}

static void say_gpu(void)
{
	const char *why = "";
	char buf[LINE];
	void *lib = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
	struct ftk *k;

	if (file_value("/proc/driver/nvidia/version", "NVRM version", buf,
		       sizeof(buf)))
		say("gpu driver", true, "%s", buf);
	else
		say("gpu driver", true, "%s",
		    lib ? "libcuda.so.1, no kernel module seen" : "none");
	if (lib)
		dlclose(lib);
	k = ftk_open("cuda", NULL, &why);
	if (!k) {
		say("cuda", true, "not used: %s", why);
		return;
	}
	say("cuda", true, "libftk-cuda.so, %s", k->isa);
	k->close(k);
}

static void say_libraries(void)
{
	char real[PATH_MAX] = "";
	jq_state *jq = jq_init();
	bool ok = jq && jq_compile(jq, ".a");
	Dl_info info;

	say("libc", true, "glibc %s", gnu_get_libc_version());
	say("libzstd", true, "%s (built with %s)", ZSTD_versionString(),
	    ZSTD_VERSION_STRING);
	/* libjq does not tell its version; its file's name does */
	if (dladdr((void *)(uintptr_t)jq_init, &info) && info.dli_fname &&
	    !realpath(info.dli_fname, real))
		real[0] = '\0';
	say("libjq", ok, "%s%s", real[0] ? real : "linked in",
	    ok ? "" : ": does not compile a program");
	if (jq)
		jq_teardown(&jq);
}

static void say_tools(void)
{
	struct tool_list l = {0};
	struct ft_str names = {0};

	tools_find(&l);
	for (size_t i = 0; i < l.n; i++)
		ft_str_addf(&names, "%s%s", i ? " " : "", l.v[i].name);
	say("tools", true, "%s", l.n ? names.s : "none found");
	ft_str_release(&names);
	tools_release(&l);
}

int doctor(void)
{
	say("ft", true, "%s", FT_VERSION);
	say_cpu();
	say_isa();
	say_memory();
	say_gpu();
	say_libraries();
	say_tools();
	return wrong ? FT_EXIT_NO : FT_EXIT_OK;
}
