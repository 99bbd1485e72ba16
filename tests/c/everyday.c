/* What an everyday C program does: standard I/O, memory, files, time, floating point, directories,
 * a signal handler. Prints "all is well" and ends with 0 when everything went as it should. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
			exit(1); \
		} \
	} while (0)

static volatile sig_atomic_t handled;

static void handler(int signal)
{
	handled = signal;
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void memory(void)
{
	char *blocks[200];
	for (int i = 0; i < 200; i++) {
		blocks[i] = malloc(1000 + i * 997);
		CHECK(blocks[i]);
		memset(blocks[i], i, 1000 + i * 997);
	}
	for (int i = 0; i < 200; i += 2)
		free(blocks[i]);
	for (int i = 1; i < 200; i += 2) {
		CHECK(blocks[i][999] == (char)i);
		blocks[i] = realloc(blocks[i], 300000);
		CHECK(blocks[i] && blocks[i][999 + i] == (char)i);
		free(blocks[i]);
	}
	int numbers[] = {5, 3, 8, 1, 2};
	qsort(numbers, 5, sizeof *numbers, by_value);
	printf("sorted %d %d %d %d %d\n", numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
}

static void files(void)
{
	CHECK(mkdir("/everyday", 0755) == 0);
	FILE *file = fopen("/everyday/text", "w+");
	CHECK(file);
	for (int i = 0; i < 5000; i++)
		CHECK(fprintf(file, "line %d\n", i) > 0);
	CHECK(fflush(file) == 0 && fsync(fileno(file)) == 0);
	rewind(file);
	char line[64];
	int count = 0;
	while (fgets(line, sizeof line, file))
		count++;
	CHECK(count == 5000);
	CHECK(fclose(file) == 0);
	struct stat stat_buffer;
	CHECK(stat("/everyday/text", &stat_buffer) == 0 && stat_buffer.st_size == 48890);
	CHECK(S_ISREG(stat_buffer.st_mode) && (stat_buffer.st_mode & 0777) == 0644);
	CHECK(rename("/everyday/text", "/everyday/renamed") == 0);
	CHECK(access("/everyday/text", F_OK) == -1 && errno == ENOENT);
	DIR *dir = opendir("/everyday");
	CHECK(dir);
	int entries = 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		entries++;
	CHECK(entries == 3 && closedir(dir) == 0);
	int fd = open("/everyday/renamed", O_RDONLY);
	char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && memcmp(map, "line 0\n", 7) == 0);
	CHECK(munmap(map, 4096) == 0 && close(fd) == 0);
	char path[4096];
	CHECK(chdir("/everyday") == 0 && getcwd(path, sizeof path) && strcmp(path, "/everyday") == 0);
	char name[] = "/everyday/temp-XXXXXX";
	fd = mkstemp(name);
	CHECK(fd >= 0 && write(fd, name, 10) == 10 && close(fd) == 0 && unlink(name) == 0);
}

static void signals(void)
{
	struct sigaction action = {.sa_handler = handler};
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(raise(SIGUSR1) == 0);
	CHECK(handled == SIGUSR1);
}

static void clocks(void)
{
	struct timespec begin, end, nap = {0, 20000000};
	CHECK(clock_gettime(CLOCK_MONOTONIC, &begin) == 0);
	CHECK(nanosleep(&nap, NULL) == 0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &end) == 0);
	long long ns = (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec;
	CHECK(ns >= 20000000);
	time_t now = time(NULL);
	struct tm *broken_down = gmtime(&now);
	CHECK(broken_down && broken_down->tm_year >= 124);
}

int main(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	printf("NAME=%s\n", getenv("NAME") ? getenv("NAME") : "(none)");
	printf("pi is %f\n", 4 * atan(1));
	memory();
	files();
	signals();
	clocks();
	printf("all is well\n");
	return 0;
}
