/* The session and the ancestors of the application, as the kernel knows them: what a login in the same
 * session is known by. A user can choose neither who started a process nor when, nor the leader of its
 * session. pam_totp/system/processes.py says the same, and core/remembering.py reads it. */

#include "login.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { MOST_ANCESTORS = 32 };

/* What of /proc/PID/stat counts: see proc_pid_stat(5). */
struct process {
    int parent, session, terminal;
    unsigned long long start; /* in ticks since the machine was started */
};

/* A file of /proc, which is read at once. */
static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return false;
    length = read(fd, text, size - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static bool read_process(int pid, struct process *process)
{
    char path[32], text[1024];
    const char *end;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_file(path, text, sizeof text))
        return false;
    end = strrchr(text, ')'); /* of the name of the program, which may hold anything */
    return end && sscanf(end + 1,
                         " %*c %d %*d %d %d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                         &process->parent, &process->session, &process->terminal,
                         &process->start) == 4;
}

/* Whether a process runs the program of this one. */
static bool is_of_this_program(int pid)
{
    char path[32], own[256], other[256];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    length = readlink("/proc/self/exe", own, sizeof own);
    return length > 0 && readlink(path, other, sizeof other) == length &&
           memcmp(own, other, (size_t)length) == 0;
}

/* Write "BOOT LEADER TERMINAL LEADS SETUID ANCESTOR...", each process as PID:START. False: /proc does not tell. */
bool describe_processes(char *text, size_t size)
{
    struct process own, leader, ancestor;
    char boot[64];
    size_t length;
    bool leads;
    int pid, written;

    if (!read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot) ||
        !read_process(getpid(), &own) || !read_process(own.session, &leader))
        return false;
    boot[strcspn(boot, "\n")] = '\0';
    leads = (own.session == getpid() || own.session == own.parent) &&
            is_of_this_program(own.session);
    written = snprintf(text, size, "%s %d:%llu %d %d %d", boot, own.session, leader.start,
                       own.terminal, leads, getauxval(AT_SECURE) != 0);
    if (written < 0 || (size_t)written >= size)
        return false;
    length = (size_t)written;
    pid = own.parent;
    for (int i = 0; i < MOST_ANCESTORS && pid > 1; i++) {
        if (!read_process(pid, &ancestor))
            return false;
        written = snprintf(text + length, size - length, " %d:%llu", pid, ancestor.start);
        if (written < 0 || (size_t)written >= size - length)
            return false;
        length += (size_t)written;
        pid = ancestor.parent;
    }
    return true;
}
