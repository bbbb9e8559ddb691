/* SPDX-License-Identifier: MIT */
/*
 * peak FILE COMMAND...: run the command and write to FILE the most anonymous
 * memory, in bytes, that it was seen to have, and the most memory of any kind.
 * The status is the command's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long look(pid_t pid, const char *field)
{
	char path[64], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, field, strlen(field)))
			kb = strtoul(line + strlen(field), NULL, 10);
	}
	if (f)
		fclose(f);
	return kb << 10;
}

int main(int argc, char **argv)
{
	unsigned long most = 0, any = 0, n;
	int status = 0;
	pid_t pid;
	FILE *out;

	if (argc < 3)
		return 2;
	pid = fork();
	if (pid < 0)
		return 4;
	if (!pid) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		n = look(pid, "RssAnon:");
		most = n > most ? n : most;
		n = look(pid, "VmHWM:");
		any = n > any ? n : any;
		usleep(500);
	}
	out = fopen(argv[1], "w");
	if (!out || fprintf(out, "%lu %lu\n", most, any) < 0 || fclose(out))
		return 4;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
