/* The three ways to a worker. */

#include "login.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

const struct listener service = {PAM_TOTP_SOCKET, "run: systemctl restart pam_totp.socket"};
const struct listener worker_launcher = {PAM_TOTP_WORKER_SOCKET,
                                         "run: systemctl restart pam_totp-worker.socket"};

/* Log a problem, which names the socket in the place of its %s. */
static void report_listener(struct login *login, const struct listener *listener,
                            const char *problem)
{
    char reason[512];

    snprintf(reason, sizeof reason, problem, listener->path);
    report(login, reason, listener->hint);
}

int connect_to(struct login *login, const struct listener *listener, bool may_be_absent)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    int fd = -1, tries = 100;
    const char *problem = NULL;

    if (lstat(listener->path, &status) != 0) {
        problem = errno == EACCES ? "this program may not use %s" : "no worker listens on %s";
        if (errno != ENOENT || !may_be_absent)
            report_listener(login, listener, problem);
        return -1;
    }
    strncpy(address.sun_path, listener->path, sizeof address.sun_path - 1);
    if (!S_ISSOCK(status.st_mode))
        problem = "%s is not a socket";
    else if (status.st_uid != 0 && status.st_uid != geteuid())
        problem = "%s is not root's";
    else if ((fd = beyond_standard_files(
                  socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))) < 0)
        problem = "no socket could be made for %s";
    while (!problem && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EAGAIN && tries-- > 0) /* its queue is full */
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        else if (errno != EINTR)
            problem = errno == EACCES   ? "this program may not use %s"
                      : errno == EAGAIN ? "listen queue full: %s"
                                        : "nobody listens on %s";
    }
    if (!problem && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
                     size != sizeof peer || (peer.uid != 0 && peer.uid != geteuid())))
        problem = "who listens on %s is not root";
    if (!problem)
        return fd;
    report_listener(login, listener, problem);
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
 * handler and its wait() notice neither. The worker's parent is then init, or the nearest process
 * above that asked for orphans (PR_SET_CHILD_SUBREAPER), be it the caller's: that one learns when
 * the worker ends, and may do nothing to it. An application that asked for orphans gets this one.
 * The worker is still in the caller's control group: it leaves it before it holds anything. */
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
