/* What system calls answer, one line each: every call that takes a descriptor to every kind of descriptor, the edges
 * of numbers, and what memory calls leave behind. The same program runs under Quill and under Linux, and the lines
 * are compared (tests/qemu/answers.rs). `answers FOLDER` makes the folder and works in it.
 *
 * Nothing is printed that depends on the kernel's taste: no addresses, times, or places on the disk. Left out
 * is what Linux itself has changed since 6.1: splice from /dev/null, /dev/zero and files of /proc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096L
#define BAD ((void *)-1L)
#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* The call as it is written here, and what came of it. */
#define ASK(call) (errno = 0, answer(#call, (long)(call)))
#define SYS(name, ...) syscall(SYS_##name, __VA_ARGS__)

static char source[1 << 20] __attribute__((aligned(4096)));
static char target[1 << 20] __attribute__((aligned(4096)));
static const char *about = "";
static sigjmp_buf back;

static long answer(const char *call, long value)
{
    if (value == -1 && errno)
        printf("%s %s = -%d\n", about, call, errno);
    else
        printf("%s %s = %ld\n", about, call, value);
    return value;
}

static void fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(back, signal * 100 + info->si_code);
}

/* The byte there, or the signal and its code. */
static long load(volatile char *at)
{
    int fault = sigsetjmp(back, 1);
    return fault ? -fault : *at;
}

static long store(volatile char *at, char byte)
{
    int fault = sigsetjmp(back, 1);
    if (fault)
        return -fault;
    *at = byte;
    return 0;
}

static int file(const char *name, long len)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (len && write(fd, source, len) != len)
        exit(1);
    return fd;
}

static long size(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) ? -1 : (long)stat.st_size;
}

/* ---- every call to every kind of descriptor */

static long transfers(int fd)
{
    struct iovec parts[2] = {{target, 10}, {target + 100, 20}}, bad = {BAD, 10};
    ASK(SYS(read, fd, BAD, 1L));
    ASK(SYS(pread64, fd, target, 1L, -1L));
    ASK(SYS(pread64, fd, target, 10L, LONG_MAX));
    ASK(SYS(pwrite64, fd, source, 10L, LONG_MAX));
    ASK(SYS(pwrite64, fd, source, 10L, -1L));
    ASK(SYS(readv, fd, parts, 1025L));
    ASK(SYS(readv, fd, BAD, 1L));
    ASK(SYS(readv, fd, parts, 0L));
    ASK(SYS(writev, fd, parts, -1L));
    ASK(SYS(writev, fd, BAD, 2L));
    ASK(SYS(preadv, fd, parts, 2L, -1L, 0L));
    ASK(SYS(preadv, fd, &bad, 1L, 0L, 0L));
    ASK(SYS(pwritev, fd, &bad, 1L, 0L, 0L));
    for (int flags = 1; flags < 0x100; flags <<= 1) {
        printf("flags %x\n", flags);
        ASK(SYS(preadv2, fd, parts, 2L, 0L, 0L, flags & ~8));
        ASK(SYS(preadv2, fd, parts, 0L, 0L, 0L, flags));
    }
    ASK(SYS(vmsplice, fd, parts, 0L, 0));
    return ASK(SYS(vmsplice, fd, parts, 1L, 0x10));
}

static long places(int fd)
{
    static const long at[] = {0, 10, -1, PAGE, 1L << 44, LONG_MAX, LONG_MIN};
    for (int i = 0; i < COUNT(at); i++) {
        printf("at %ld\n", at[i]);
        for (int whence = -1; whence < 6; whence++)
            if (whence != SEEK_DATA && whence != SEEK_HOLE)
                ASK(SYS(lseek, fd, at[i], whence) < 0);
        ASK(SYS(sync_file_range, fd, at[i], 100L, 7));
        ASK(SYS(sync_file_range, fd, 0L, at[i], 8));
        ASK(SYS(readahead, fd, at[i], 100L));
        ASK(SYS(fadvise64, fd, at[i], 100L, 3));
        ASK(SYS(fadvise64, fd, 100L, at[i], 4));
        ASK(SYS(fallocate, fd, 3, at[i], 0L));
        ASK(SYS(fallocate, fd, 0, 0L, at[i] > 0 && at[i] < LONG_MAX ? 1 : at[i]));
    }
    for (int mode = 1; mode < 0x100; mode <<= 1)
        ASK(SYS(fallocate, fd, mode, PAGE, -PAGE));
    for (int advice = -1; advice < 8; advice++)
        ASK(SYS(fadvise64, fd, 0L, 0L, advice));
    return ASK(SYS(ftruncate, fd, -1L));
}

static long rest(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLNVAL};
    struct stat stat;
    int number = 0;
    ASK(SYS(fsync, fd));
    ASK(SYS(fdatasync, fd));
    ASK(SYS(syncfs, fd));
    ASK(poll(&wanted, 1, 0));
    ASK(wanted.revents);
    ASK(fstat(fd, &stat));
    ASK(ioctl(fd, FIOQSIZE, target) == -1 ? -errno : 0);
    ASK(ioctl(fd, FIGETBSZ, &number) == -1 ? -errno : 0);
    ASK(ioctl(fd, 0x12345678, &number));
    ASK(fcntl(fd, F_GETFD));
    ASK(fcntl(fd, F_SETPIPE_SZ, -1));
    ASK(fcntl(fd, 9999, 0));
    ASK(mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED ? -errno : 0);
    return ASK(mmap(0, PAGE, PROT_READ, 0, fd, 0) == MAP_FAILED ? -errno : 0);
}

/* A path and the descriptor that it begins at: which of the two is looked at first. */
static void names(int fd)
{
    static const char *const paths[] = {"", "kind", "kind/", "/", "/none/none", 0};
    for (int i = 0; i < COUNT(paths); i++) {
        const char *path = paths[i] ? paths[i] : BAD;
        printf("path %s\n", paths[i] ? path : "(bad)");
        for (int flags = 0; flags <= 0x1000; flags += 0x1000) {
            printf("flags %x\n", flags);
            ASK(SYS(newfstatat, fd, path, target, flags));
            ASK(SYS(newfstatat, fd, path, target, flags | 0x100));
            ASK(SYS(statx, fd, path, flags, 0, target));
            ASK(SYS(faccessat2, fd, path, 4, flags));
            ASK(SYS(fchownat, fd, path, -1, -1, flags));
            ASK(SYS(utimensat, fd, path, 0L, flags));
            ASK(SYS(linkat, fd, path, fd, path, flags));
        }
        ASK(SYS(utimensat, fd, BAD, 0L, 0));
        ASK(SYS(utimensat, fd, 0L, 0L, 0));
        ASK(SYS(fchmodat, fd, path, 0644));
        ASK(SYS(faccessat, fd, path, 0));
        ASK(SYS(readlinkat, fd, path, target, 100L));
        ASK(SYS(readlinkat, fd, path, target, 0L));
        ASK(SYS(mkdirat, fd, path, 0755));
        ASK(SYS(symlinkat, "", fd, path));
        ASK(SYS(symlinkat, "kind", fd, path));
        ASK(SYS(renameat2, fd, path, fd, path, 0));
        ASK(SYS(unlinkat, fd, "", 0));
        ASK(SYS(unlinkat, fd, path, 1));
        int opened = SYS(openat, fd, path, O_PATH, 0);
        ASK(opened < 0 ? -errno : 0);
        close(opened);
    }
}

static void every_kind(void)
{
    int pipes[2];
    if (pipe2(pipes, O_NONBLOCK))
        exit(1);
    struct {
        const char *name;
        int fd;
    } kinds[] = {
        {"file", file("kind", 10000)},
        {"read only", open("kind", O_RDONLY)},
        {"write only", open("kind", O_WRONLY)},
        {"appending", open("kind", O_RDWR | O_APPEND)},
        {"path", open("kind", O_PATH)},
        {"folder", open(".", O_RDONLY)},
        {"null", open("/dev/null", O_RDWR)},
        {"out of the pipe", pipes[0]},
        {"into the pipe", pipes[1]},
        {"events", eventfd(0, EFD_NONBLOCK)},
        {"none", -1},
        {"not open", 9999},
    };
    for (int i = 0; i < COUNT(kinds); i++) {
        about = kinds[i].name;
        transfers(kinds[i].fd);
        places(kinds[i].fd);
        rest(kinds[i].fd);
        names(kinds[i].fd);
    }
}

/* ---- memory */

/* A bit for each page that is in memory. */
static long present(char *at, int pages)
{
    unsigned char each[64];
    long bits = 0;
    if (mincore(at, pages * PAGE, each))
        return -errno;
    for (int i = 0; i < pages; i++)
        bits |= (long)(each[i] & 1) << i;
    return bits;
}

static char *fresh(int pages, int flags)
{
    return mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

static void locks(void)
{
    about = "lock";
    char *at = fresh(8, MAP_PRIVATE);
    ASK(mlock(at + 1, PAGE));
    ASK(present(at, 8));
    ASK(SYS(mlock2, at, 8 * PAGE, MLOCK_ONFAULT));
    ASK(present(at, 8));
    ASK(SYS(mlock2, at, PAGE, 2));
    ASK(munmap(at + 4 * PAGE, PAGE));
    ASK(mlock(at, 8 * PAGE));
    ASK(present(at, 4));
    ASK(present(at + 5 * PAGE, 3));
    ASK(madvise(at, PAGE, MADV_DONTNEED));
    ASK(munlock(at, 8 * PAGE));
    ASK(mlockall(0));
    ASK(mlockall(MCL_ONFAULT));
    ASK(mlockall(MCL_FUTURE | MCL_ONFAULT));
    ASK(present(fresh(4, MAP_PRIVATE), 4));
    ASK(mlockall(MCL_FUTURE));
    at = fresh(4, MAP_PRIVATE);
    ASK(present(at, 4));
    at = mremap(at, 4 * PAGE, 9 * PAGE, MREMAP_MAYMOVE);
    ASK(present(at, 9));
    ASK(munlockall());
    struct rlimit limit = {4 * PAGE, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &limit);
    ASK(seteuid(1000));
    at = fresh(8, MAP_PRIVATE);
    ASK(mlock(at, 5 * PAGE));
    ASK(mlock(at, 4 * PAGE));
    ASK(mlock(at, 4 * PAGE));
    ASK(mlock(at + 4 * PAGE, PAGE));
    ASK(mlockall(MCL_CURRENT));
    ASK(mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED ? -errno : 0);
    ASK(munlock(at, 8 * PAGE));
    ASK(seteuid(0));
}

static void moves(void)
{
    about = "mremap";
    char *at = fresh(8, MAP_PRIVATE), *there = fresh(64, MAP_PRIVATE);
    memset(at, 'm', 8 * PAGE);
    munmap(there, 64 * PAGE);
    ASK(SYS(mremap, at + 1, PAGE, PAGE, 0, 0L));
    ASK(SYS(mremap, at, PAGE, 0L, 0, 0L));
    ASK(SYS(mremap, at, PAGE, PAGE, 8, 0L));
    ASK(SYS(mremap, at, PAGE, PAGE, MREMAP_FIXED, there));
    ASK(SYS(mremap, at, 0L, PAGE, MREMAP_MAYMOVE, 0L));
    ASK(SYS(mremap, at, 8 * PAGE, 4 * PAGE, 3, at + PAGE));
    ASK(SYS(mremap, at, 20 * PAGE, 4 * PAGE, 0, 0L) == (long)at);
    ASK(load(at + 3 * PAGE));
    ASK(load(at + 4 * PAGE));
    ASK(SYS(mremap, at, 20 * PAGE, 2 * PAGE, 3, there) == (long)there);
    ASK(load(there + PAGE));
    ASK(load(there + 2 * PAGE));
    ASK(load(at));
    ASK(SYS(mremap, there, 2 * PAGE, 2 * PAGE, 5, 0L) > 0);
    ASK(load(there));
    ASK(SYS(mremap, there, 2 * PAGE, 3 * PAGE, 5, 0L));
}

static void advice(int fd)
{
    char *own = fresh(8, MAP_PRIVATE), *common = fresh(8, MAP_SHARED), *holed = fresh(8, MAP_PRIVATE);
    char *shared = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *copy = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    munmap(holed + 3 * PAGE, PAGE);
    about = "madvise";
    for (int advice = -1; advice < 30; advice++) {
        printf("advice %d\n", advice);
        if (pwrite(fd, source, 8 * PAGE, 0) != 8 * PAGE)
            exit(1);
        store(own, 'o');
        store(common, 'c');
        store(copy, 'p');
        ASK(madvise(own, 8 * PAGE, advice));
        /* What MADV_FREE frees may come later. */
        ASK(advice == MADV_FREE ? 0 : load(own));
        ASK(madvise(common, 8 * PAGE, advice));
        ASK(load(common));
        ASK(madvise(shared, 8 * PAGE, advice));
        ASK(load(shared));
        ASK(madvise(copy, 8 * PAGE, advice));
        ASK(load(copy));
        ASK(madvise(holed, 8 * PAGE, advice));
        ASK(madvise(holed + 3 * PAGE, PAGE, advice));
        ASK(madvise(own + 1, PAGE, advice));
        ASK(madvise(own, 0, advice));
        ASK(madvise(own, -PAGE, advice));
    }
}

static void mapped_file(int fd)
{
    about = "mapped";
    char *at = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASK(ftruncate(fd, 2 * PAGE + 100));
    ASK(load(at + 2 * PAGE + 200));
    ASK(load(at + 3 * PAGE));
    ASK(ftruncate(fd, 4 * PAGE));
    ASK(load(at + 3 * PAGE));
    for (int flags = 0; flags < 16; flags++)
        ASK(SYS(msync, at, 8 * PAGE, flags));
    ASK(SYS(msync, at + 1, PAGE, MS_SYNC));
    ASK(munmap(at + PAGE, PAGE));
    ASK(SYS(msync, at, 8 * PAGE, MS_SYNC));
    ASK(mlock(at, PAGE));
    ASK(SYS(msync, at, PAGE, MS_INVALIDATE));
    ASK(munmap((void *)((long)at | 5L << 56), 8 * PAGE));
    ASK(load(at));
    int read_only = open("mapped", O_RDONLY);
    at = mmap(0, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
    ASK(mprotect(at, PAGE, PROT_READ | PROT_WRITE));
    ASK(SYS(mprotect, at, PAGE, 0x10));
    ASK(SYS(mprotect, at, 0L, 0x10));
    ASK(SYS(mprotect, at + 1, 0L, 1));
    ASK(mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 1L << 44) == MAP_FAILED ? -errno : 0);
    ASK(mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, LONG_MAX - PAGE + 1) == MAP_FAILED ? -errno : 0);
    ASK(fchmod(fd, 0400));
    at = mmap(0, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    fdatasync(fd);
    ASK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    ASK(present(at, 4));
    ASK(seteuid(1000));
    ASK(present(at, 4));
    ASK(seteuid(0));
    struct rlimit limit = {1 << 20, RLIM_INFINITY}, before;
    getrlimit(RLIMIT_DATA, &before);
    at = mmap(0, 8 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    setrlimit(RLIMIT_DATA, &limit);
    ASK(mprotect(at, 8 << 20, PROT_READ | PROT_WRITE));
    setrlimit(RLIMIT_DATA, &before);
}

/* ---- requests */

static void request(aio_context_t context, int opcode, int fd, struct iocb change)
{
    struct iocb iocb = change, *list = &iocb;
    struct timespec patience = {5, 0};
    struct io_event event = {0};
    iocb.aio_lio_opcode = opcode;
    iocb.aio_fildes = fd;
    if (ASK(SYS(io_submit, context, 1L, &list)) == 1) {
        ASK(SYS(io_getevents, context, 1L, 1L, &event, &patience));
        ASK(event.res);
    }
}

static void requests(void)
{
    aio_context_t context = 0;
    ASK(SYS(io_setup, 8, &context));
    int plain = file("asked", 10000), direct = open("asked", O_RDWR | O_DIRECT), folder = open(".", O_RDONLY);
    const struct iocb changes[] = {
        {.aio_buf = (long)target, .aio_nbytes = 512},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_offset = -1},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_offset = LONG_MAX},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_offset = 20480},
        {.aio_buf = (long)target + 1, .aio_nbytes = 512},
        {.aio_buf = -1L, .aio_nbytes = 512},
        {.aio_buf = (long)target, .aio_nbytes = -1L},
        {.aio_buf = (long)target, .aio_nbytes = 1L << 20},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_reserved2 = 1},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = plain},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_flags = IOCB_FLAG_IOPRIO, .aio_reqprio = 5 << 13},
        {.aio_buf = (long)target, .aio_nbytes = 512, .aio_rw_flags = 0x40},
        {.aio_nbytes = 0},
    };
    for (int opcode = 0; opcode < 10; opcode++) {
        /* POLL waits. */
        if (opcode == 5)
            continue;
        for (int i = 0; i < COUNT(changes); i++) {
            printf("opcode %d change %d\n", opcode, i);
            about = "request";
            request(context, opcode, plain, changes[i]);
            about = "direct request";
            request(context, opcode, direct, changes[i]);
            about = "folder's request";
            request(context, opcode, folder, changes[i]);
        }
    }
    ASK(size(plain));
    ASK(SYS(io_destroy, context));
    ASK(SYS(io_destroy, context));
}

/* ---- who owns what */

static void owners(void)
{
    struct stat stat;
    about = "owner";
    int fd = file("owned", 100);
    static const int modes[] = {06755, 02745, 04644, 02644, 06777};
    for (int i = 0; i < COUNT(modes); i++) {
        for (int how = 0; how < 4; how++) {
            fchmod(fd, modes[i]);
            seteuid(1000);
            ASK(how == 0 ? write(fd, "x", 1) : how == 1 ? ftruncate(fd, 50) : how == 2 ? fallocate(fd, 1, 0, 10) : 0);
            seteuid(0);
            fstat(fd, &stat);
            printf("%o after %d: %o\n", modes[i], how, stat.st_mode);
        }
    }
    ASK(seteuid(1000));
    ASK(fcntl(fd, F_SETFL, O_NOATIME));
    ASK(seteuid(0));
    ASK(fcntl(fd, F_SETFL, O_NOATIME | O_ASYNC));
    ASK(fcntl(fd, F_GETFL));
}

int main(int count, char **args)
{
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGBUS, &action, 0);
    signal(SIGPIPE, SIG_IGN);
    if (count < 2 || mkdir(args[1], 0755) || chdir(args[1]))
        return 1;
    memset(source, 's', sizeof source);
    every_kind();
    locks();
    moves();
    advice(file("advised", 0));
    mapped_file(file("mapped", 8 * PAGE));
    requests();
    owners();
    puts("that is all");
    return 0;
}
