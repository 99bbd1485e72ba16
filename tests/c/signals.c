/* Signals and timers as a C program uses them. Ends as its argument says, else with 0. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int failures;
static volatile sig_atomic_t count;
static sigjmp_buf back;
static char *page;
static siginfo_t seen;

static void check(int good, const char *what)
{
    if (!good) {
        printf("NOT: %s (errno %d)\n", what, errno);
        failures++;
    }
}
#define CHECK(x) check((x), #x)

static void counted(int signal)
{
    (void)signal;
    count++;
}

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    seen = *info;
    siglongjmp(back, 1);
}

static void make_writable(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    count++;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void step_over(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    (void)signal, (void)info;
    c->uc_mcontext.pc += 4;
    c->uc_mcontext.regs[0] = 77;
}

static int deeper(int n)
{
    volatile char room[4096];
    room[0] = (char)n;
    return deeper(n + 1) + room[0];
}

static void on(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void faults(void)
{
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    on(SIGSEGV, jump, 0);
    if (!sigsetjmp(back, 1))
        page[0] = 1;
    CHECK(seen.si_code == SEGV_ACCERR && seen.si_addr == page);
    if (!sigsetjmp(back, 1))
        *(volatile int *)16 = 1;
    CHECK(seen.si_code == SEGV_MAPERR && seen.si_addr == (void *)16);

    count = 0;
    on(SIGSEGV, make_writable, 0);
    page[5] = 9;
    CHECK(page[5] == 9 && count == 1);

    on(SIGILL, step_over, 0);
    on(SIGTRAP, step_over, 0);
    register long x0 __asm__("x0") = 1;
    __asm__ volatile(".inst 0" : "+r"(x0));
    long answer = x0;
    CHECK(answer == 77);
    x0 = 1;
    __asm__ volatile("brk #7" : "+r"(x0));
    answer = x0;
    CHECK(answer == 77);

    stack_t stack = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
    CHECK(sigaltstack(&stack, NULL) == 0);
    on(SIGSEGV, jump, SA_ONSTACK);
    seen.si_signo = 0;
    if (!sigsetjmp(back, 1))
        deeper(0);
    CHECK(seen.si_signo == SIGSEGV);
}

static void waits(void)
{
    sigset_t usr1, none, pending;
    siginfo_t info;
    struct timespec moment = { 0, 5000000 }, left;
    union sigval value = { .sival_int = 5 };
    int got = 0;

    signal(SIGUSR1, counted);
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
    count = 0;
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK(count == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(sigwait(&usr1, &got) == 0 && got == SIGUSR1);
    CHECK(sigtimedwait(&usr1, NULL, &moment) == -1 && errno == EAGAIN);
    CHECK(sigqueue(getpid(), SIGUSR1, value) == 0);
    CHECK(sigwaitinfo(&usr1, &info) == SIGUSR1);
    CHECK(info.si_code == SI_QUEUE && info.si_value.sival_int == 5 && info.si_pid == getpid());
    CHECK(count == 0);

    raise(SIGUSR1);
    CHECK(sigsuspend(&none) == -1 && errno == EINTR && count == 1);
    raise(SIGUSR1);
    CHECK(count == 1);
    CHECK(ppoll(NULL, 0, NULL, &none) == -1 && errno == EINTR && count == 2);
    raise(SIGUSR1);
    CHECK(count == 2);
    CHECK(pselect(0, NULL, NULL, NULL, &moment, &none) == -1 && errno == EINTR && count == 3);
    raise(SIGUSR1);
    CHECK(sigprocmask(SIG_UNBLOCK, &usr1, NULL) == 0 && count == 4);

    signal(SIGALRM, counted);
    count = 0;
    CHECK(alarm(1) == 0);
    CHECK(pause() == -1 && errno == EINTR && count == 1);
    struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, off = { { 0, 0 }, { 0, 0 } }, old;
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (count < 5)
        ;
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec - begin.tv_sec < 4);
    struct timespec long_time = { 100, 0 };
    CHECK(nanosleep(&long_time, &left) == -1 && errno == EINTR && left.tv_sec == 99);
    CHECK(poll(NULL, 0, 100000) == -1 && errno == EINTR);
    CHECK(setitimer(ITIMER_REAL, &off, &old) == 0 && old.it_interval.tv_usec == 5000);
    CHECK(getitimer(ITIMER_REAL, &old) == 0 && old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
    alarm(100);
    unsigned rest = alarm(0);
    CHECK(rest == 100 || rest == 99);
    CHECK(nanosleep(&moment, NULL) == 0);
}

/* Calls that are about the process alone. */
static void process(void)
{
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mlock(memory + 10, 4096) == 0 && munlock(memory, 8192) == 0);
    CHECK(mlockall(MCL_CURRENT) == 0 && mlockall(64) == -1 && errno == EINVAL && munlockall() == 0);
    munmap(memory, 8192);
    CHECK(mlock(memory, 4096) == -1 && errno == ENOMEM);
    int before = getpriority(PRIO_PROCESS, 0);
    CHECK(nice(3) == before + 3 && getpriority(PRIO_PROCESS, 0) == before + 3);
    CHECK(getpriority(PRIO_PROCESS, 4711) == -1 && errno == ESRCH);

    int fd = open("/", O_RDONLY | O_DIRECTORY);
    CHECK((fcntl(fd, F_GETFL) & 0400000) == 0400000);
    close(fd);

    /* Deeper than a system call can name. */
    char deep[] = "/deepXXXXXX";
    CHECK(mkdtemp(deep) == deep && chdir(deep) == 0);
    for (int i = 0; i < 450; i++)
        if (mkdir("directory", 0755) != 0 || chdir("directory") != 0) {
            check(0, "a deep tree");
            break;
        }
    char room[8192];
    errno = 0;
#ifdef __GLIBC__
    char *path = getcwd(room, sizeof room);
    CHECK(path != NULL && strlen(path) == 4511);
#else
    CHECK(getcwd(room, sizeof room) == NULL && errno == ENAMETOOLONG);
#endif
    CHECK(chdir("/") == 0);
}

int main(int argc, char **argv)
{
    const char *end = argc > 1 ? argv[1] : "";
    faults();
    waits();
    process();
    printf("%d failed\n", failures);
    fflush(stdout);
    if (failures)
        return 1;
    if (!strcmp(end, "abort"))
        abort();
    if (!strcmp(end, "alarm")) {
        signal(SIGALRM, SIG_DFL);
        alarm(1);
        for (;;)
            ;
    }
    if (!strcmp(end, "stack")) {
        signal(SIGSEGV, SIG_DFL);
        return deeper(0);
    }
    return 0;
}
