/* Many processes with a PAM transaction each, started together.
 *
 *     together SERVICE CODE USER...
 *
 * Runs pamtester for every USER, which is given CODE. All of them wait until the last one has been
 * forked, and are then executed at once. Prints the seconds from there until the last one has ended;
 * ends with 1 if a login of these did not succeed.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void log_in(const char *service, const char *user, const char *code, const int gate[2])
{
    int typed[2], quiet = open("/dev/null", O_WRONLY);
    char released;

    close(gate[1]);
    if (quiet < 0 || pipe(typed) != 0 || dprintf(typed[1], "%s\n", code) < 0)
        _exit(2);
    close(typed[1]);
    dup2(typed[0], STDIN_FILENO);
    dup2(quiet, STDOUT_FILENO);
    dup2(quiet, STDERR_FILENO);
    if (read(gate[0], &released, 1) != 0) /* ends when the other side is closed */
        _exit(2);
    execlp("pamtester", "pamtester", service, user, "authenticate", (char *)NULL);
    _exit(2);
}

int main(int argc, char **argv)
{
    struct timespec settle = {.tv_nsec = 100000000}, begin, end;
    int gate[2], status, failed = 0;

    if (argc < 4 || pipe(gate) != 0)
        return 2;
    for (int i = 3; i < argc; i++) {
        pid_t child = fork();

        if (child < 0)
            return 2;
        if (child == 0)
            log_in(argv[1], argv[i], argv[2], gate);
    }
    nanosleep(&settle, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    close(gate[1]);
    while (wait(&status) > 0)
        failed += status != 0;
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (failed) {
        fprintf(stderr, "%d of %d were not let in\n", failed, argc - 3);
        return 1;
    }
    printf("%.6f\n", (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    return 0;
}
