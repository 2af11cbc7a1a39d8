/* The two ways to a worker, and packets to and from it: every wait ends. */

#include "login.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Out of the way of an application without standard files: it would take ours for them. */
static int beyond_standard_files(int fd)
{
    int higher;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return higher;
}

int connect_to_service(struct login *login, bool may_be_absent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PAM_TOTP_SOCKET};
    struct stat status;
    struct ucred listener = {.uid = (uid_t)-1};
    socklen_t size = sizeof listener;
    int fd = -1, tries = 100;
    const char *problem = NULL;

    if (lstat(PAM_TOTP_SOCKET, &status) != 0) {
        if (errno != ENOENT || !may_be_absent)
            report(login, errno == EACCES ? "this program may not use " PAM_TOTP_SOCKET
                                          : "no worker listens on " PAM_TOTP_SOCKET,
                   "run: systemctl restart pam_totp.socket");
        return -1;
    }
    if (!S_ISSOCK(status.st_mode))
        problem = PAM_TOTP_SOCKET " is not a socket";
    else if (status.st_uid != 0 && status.st_uid != geteuid())
        problem = PAM_TOTP_SOCKET " is not root's";
    else if ((fd = beyond_standard_files(
                  socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))) < 0)
        problem = "no socket could be made";
    while (!problem && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EAGAIN && tries-- > 0) /* its queue is full */
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        else if (errno != EINTR)
            problem = errno == EACCES   ? "this program may not use " PAM_TOTP_SOCKET
                      : errno == EAGAIN ? "nobody takes the calls to " PAM_TOTP_SOCKET
                                        : "nobody listens on " PAM_TOTP_SOCKET;
    }
    if (!problem &&
        (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0 || size != sizeof listener ||
         (listener.uid != 0 && listener.uid != geteuid())))
        problem = "who listens on " PAM_TOTP_SOCKET " is not root";
    if (!problem)
        return fd;
    report(login, problem, "run: systemctl restart pam_totp.socket");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* In the child: nothing of the application's, nor of its caller's, reaches the worker. Only
 * system calls from here on; those on ids are made by number, as the C library's would try to
 * bring along the threads that the application has. */
static void become_worker(int socket_fd)
{
    static const char *const itself[] = {PAM_TOTP_WORKER, "--connection", "3", NULL};
    static const char *const argv[] = {"/usr/bin/python3", "-IS", PAM_TOTP_WORKER, "--connection",
                                       "3", NULL};
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                              "LC_ALL=C.UTF-8", NULL};
    static const int unlimited[] = {RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE};
    const struct rlimit infinity = {RLIM_INFINITY, RLIM_INFINITY}, none = {0, 0};
    struct rlimit given;
    static const unsigned long by_default[8]; /* the kernel's struct sigaction: SIG_DFL is 0 */
    cpu_set_t everywhere;
    sigset_t nothing;
    int null;

    /* Not sigaction(3): for SIGABRT it takes a lock (glibc 2.41), which fork(2) in another thread,
     * pam_unix's, holds for ever in this copy of the process. */
    for (int number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, by_default, NULL, (NSIG - 1) / 8UL);
    sigemptyset(&nothing);
    sigprocmask(SIG_SETMASK, &nothing, NULL);
    setsid();
    umask(077);
    for (size_t i = 0; i < sizeof unlimited / sizeof *unlimited; i++) {
        if (setrlimit(unlimited[i], &infinity) != 0 && getrlimit(unlimited[i], &given) == 0) {
            given.rlim_cur = given.rlim_max; /* in a container without CAP_SYS_RESOURCE */
            setrlimit(unlimited[i], &given);
        }
    }
    setrlimit(RLIMIT_CORE, &none);
    /* Its caller may have chosen nice(1), chrt(1), taskset(1): who holds the lock must not crawl. */
    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){.sched_priority = 0});
    setpriority(PRIO_PROCESS, 0, -10);
    memset(&everywhere, 0xff, sizeof everywhere);
    sched_setaffinity(0, sizeof everywhere, &everywhere);
    syscall(SYS_ioprio_set, 1, 0, 0); /* IOPRIO_WHO_PROCESS: as the priority has it */
    if ((socket_fd = fcntl(socket_fd, F_DUPFD, 4)) < 0 || (null = open("/dev/null", O_RDWR)) < 0 ||
        dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || dup2(socket_fd, 3) < 0)
        _exit(126);
    closefrom(4);
    if (chdir("/") != 0 || syscall(SYS_setgroups, 0, NULL) != 0 ||
        syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0)
        _exit(126);
    /* By its own name, by which SELinux knows it: so it comes into its domain. Its first line says
     * what the second call does, for where the file system or a policy lets no script be run. */
    execve(itself[0], (char *const *)itself, (char *const *)environment);
    execve(argv[0], (char *const *)argv, (char *const *)environment);
    _exit(127);
}

/* A child without an exit signal starts the worker and ends at once: the application's SIGCHLD
 * handler and its wait() notice neither, and the worker's parent is init. */
int start_worker(struct login *login)
{
    sigset_t all, before;
    int ends[2] = {-1, -1};
    long child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0)
        ends[0] = beyond_standard_files(ends[0]);
    if (ends[0] < 0) {
        if (ends[1] >= 0)
            close(ends[1]);
        report(login, "no socket could be made", "look at the limits of open files");
        return -1;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    child = syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L); /* fork(2), in every order of arguments */
    if (child == 0) {
        if (syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L) == 0)
            become_worker(ends[1]);
        _exit(0);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (child > 0) {
        while (waitpid((pid_t)child, NULL, __WALL) < 0 && errno == EINTR)
            continue;
        return ends[0];
    }
    close(ends[0]);
    report(login, "no worker could be started", "look at the limits of processes and memory");
    return -1;
}

static int now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)((unsigned)now.tv_sec * 1000U + (unsigned)now.tv_nsec / 1000000U);
}

/* Wait within what is left of the patience; errno is ETIMEDOUT when it is at its end. */
static bool wait_for(struct login *login, int fd, short events)
{
    struct pollfd waiting = {.fd = fd, .events = events};

    for (;;) {
        int begin = now_ms();
        int ready = poll(&waiting, 1, login->patience > 0 ? login->patience : 0);
        int problem = ready == 0 ? ETIMEDOUT : errno;

        login->patience -= (int)((unsigned)now_ms() - (unsigned)begin);
        if (ready > 0)
            return true;
        errno = problem;
        if (problem != EINTR)
            return false;
    }
}

bool send_packet(struct login *login, int fd)
{
    for (;;) {
        if (send(fd, login->packet.bytes, login->packet.length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return true; /* SOCK_SEQPACKET: all of it */
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(login, fd, POLLOUT))
                return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
}

bool receive_packet(struct login *login, int fd)
{
    for (;;) {
        ssize_t length;

        if (!wait_for(login, fd, POLLIN))
            return false;
        length = recv(fd, login->packet.bytes, MAX_PACKET, MSG_DONTWAIT | MSG_TRUNC);
        if (length > 0) {
            login->packet.length = (size_t)length; /* as sent: packet_parse() refuses a longer one */
            return true;
        }
        if (length == 0)
            errno = 0;
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return false;
    }
}
