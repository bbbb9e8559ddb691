/* SPDX-License-Identifier: MIT */
/* Find the backend of a name.  CUDA lives in a library of its own, so that a
   program without a device needs none of it. */
#include "kernels/ftk.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu/cpu.h"

#define CUDA_LIB "libftk-cuda.so"

typedef struct ftk *open_fn(const char **why);

/* Beside the program first, then where the loader looks. */
static void *cuda_lib(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	void *lib = NULL;
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		if (slash) {
			memcpy(slash + 1, CUDA_LIB, sizeof(CUDA_LIB));
			lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		}
	}
	return lib ? lib : dlopen(CUDA_LIB, RTLD_NOW | RTLD_LOCAL);
}

static struct ftk *cuda_open(const char **why)
{
	void *lib = cuda_lib(), *sym = lib ? dlsym(lib, "ftk_cuda_open") : NULL;
	open_fn *fn;

	if (!sym) {
		*why = lib ? CUDA_LIB " has no ftk_cuda_open"
			   : CUDA_LIB " not found";
		return NULL;
	}
	memcpy(&fn, &sym, sizeof(fn));
	return fn(why);
}

struct ftk *ftk_open(const char *name, const struct ftk_threads *t,
		     const char **why)
{
	if (!strcmp(name, "cpu"))
		return ftk_cpu_open(t, FTK_F32, why);
	if (!strcmp(name, "cpu-bf16"))
		return ftk_cpu_open(t, FTK_BF16, why);
	if (!strcmp(name, "ref64"))
		return ftk_ref64_open(t, why);
	if (!strcmp(name, "cuda"))
		return cuda_open(why);
	*why = "no backend of that name (cpu, cpu-bf16, cuda, ref64)";
	return NULL;
}
