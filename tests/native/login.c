/* An application on libpam, for tests: logs in, and writes down all that happens.
 *
 *     login [-f FLAGS] [-n TIMES] [-a TIMES] [-m COUNT]... [-i MICROSECONDS] [-s] FOLDER SERVICE OUTPUT PERSON [+ PERSON]...
 *
 * FOLDER holds the PAM service files; a PERSON is a user and the answers to the prompts, in order.
 * Each further PERSON logs in on a thread of its own, at the same time. Everybody does so TIMES
 * times, with the same answers. -m: after COUNT of them, tell the memory and the open files. -i: a
 * signal interrupts all system calls this often. -s: pam_setcred(3) too. -f: for
 * pam_authenticate(3). -a: call it so often, on one handle.
 *
 * An answer may be a deed: \fail (the conversation fails), \none (it gives nothing), \null (its
 * answer has no text), \slow (1.2 s pass, then "late" is typed). What libpam would have waited for
 * after a refusal is written down.
 *
 * OUTPUT gets a line an event. syslog(3) is replaced: what libpam and modules log comes there too.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_FD = 10, MAX_PERSONS = 64, MAX_COUNTS = 8 };

struct person {
    char **words; /* the user, and the answers */
    int count, next;
};

static int output, flags, times = 1, calls = 1, with_setcred, measured, measure_at[MAX_COUNTS];
static const char *folder, *service;
static volatile sig_atomic_t children_ended;

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    char *line = NULL;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (length < 1)
        abort();
    for (int i = 0; i < length - 1; i++)
        if (line[i] == '\n')
            line[i] = '\v';
    if (write(output, line, (size_t)length) != length) /* O_APPEND: whole, whoever else writes */
        abort();
    free(line);
}

static void log_line(int priority, const char *format, va_list arguments)
{
    char *line = NULL;

    if (vasprintf(&line, format, arguments) < 0)
        abort();
    tell("log %d %s\n", priority, line);
    free(line);
}

void syslog(int priority, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    log_line(priority, format, arguments);
    va_end(arguments);
}

void __syslog_chk(int priority, int flag, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list arguments;

    (void)flag;
    va_start(arguments, format);
    log_line(priority, format, arguments);
    va_end(arguments);
}

/* A worker that a module started is no business of the application's. */
static void look_for_children(int which)
{
    pid_t child = waitpid(-1, NULL, WNOHANG | which);

    if (child != -1 || errno != ECHILD)
        tell("child %d\n", (int)child);
}

static int converse(int count, const struct pam_message **messages, struct pam_response **responses,
                    void *data)
{
    struct person *person = data;
    const char *answer;

    if (count != 1)
        abort();
    tell("shown %d %s\n", messages[0]->msg_style, messages[0]->msg);
    look_for_children(0);
    *responses = NULL;
    if (messages[0]->msg_style != PAM_PROMPT_ECHO_OFF && messages[0]->msg_style != PAM_PROMPT_ECHO_ON) {
        *responses = calloc(1, sizeof **responses);
        return PAM_SUCCESS;
    }
    answer = person->next < person->count ? person->words[person->next++] : "\\fail";
    if (strcmp(answer, "\\fail") == 0)
        return PAM_CONV_ERR;
    if (strcmp(answer, "\\none") == 0)
        return PAM_SUCCESS;
    if (strcmp(answer, "\\slow") == 0) {
        struct timespec left = {1, 200000000};

        while (nanosleep(&left, &left) != 0)
            continue;
        answer = "late";
    }
    *responses = calloc(1, sizeof **responses);
    (*responses)->resp = strcmp(answer, "\\null") == 0 ? NULL : strdup(answer);
    return PAM_SUCCESS;
}

#ifdef TELL_WHAT_IS_ASKED_FOR
int pam_fail_delay(pam_handle_t *pamh, unsigned int microseconds)
{
    (void)pamh;
    tell("asked %u\n", microseconds);
    return PAM_SUCCESS;
}
#endif

/* In place of waiting for as long. */
static void on_delay(int code, unsigned int microseconds, void *data)
{
    (void)data;
    if (microseconds)
        tell("delay %u %d\n", microseconds, code);
}

static void log_in(struct person *person)
{
    struct pam_conv conv = {converse, person};
    pam_handle_t *pamh = NULL;
    int code = pam_start_confdir(service, person->words[0], &conv, folder, &pamh);

    person->next = 1;
    if (code != PAM_SUCCESS) {
        tell("start %d\n", code);
        return;
    }
    pam_set_item(pamh, PAM_FAIL_DELAY, (const void *)on_delay);
    for (int i = 0; i < calls; i++) {
        code = pam_authenticate(pamh, flags);
        tell("code %d %s\n", code, person->words[0]);
    }
    if (with_setcred)
        tell("setcred %d\n", pam_setcred(pamh, PAM_ESTABLISH_CRED));
    pam_end(pamh, code);
    look_for_children(0);
}

static void measure(int count)
{
    FILE *maps = fopen("/proc/self/smaps_rollup", "re");
    DIR *open_files = opendir("/proc/self/fd");
    char line[256];
    long bytes, private_kb = 0;
    int files = 0;

    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "Private_Clean: %ld", &bytes) == 1 || sscanf(line, "Private_Dirty: %ld", &bytes) == 1)
            private_kb += bytes;
    while (readdir(open_files))
        files++;
    tell("memory %d %ld %d\n", count, private_kb, files);
    closedir(open_files);
    fclose(maps);
}

static void *log_in_often(void *data)
{
    for (int i = 1; i <= times; i++) {
        log_in(data);
        for (int m = 0; m < measured; m++)
            if (measure_at[m] == i)
                measure(i);
    }
    return NULL;
}

static void on_signal(int number)
{
    children_ended += number == SIGCHLD;
}

int main(int argc, char **argv)
{
    struct person persons[MAX_PERSONS] = {{0}};
    pthread_t threads[MAX_PERSONS];
    struct sigaction action = {.sa_handler = on_signal}, before;
    struct itimerval interval = {{0}, {0}};
    int option, count = 0, opened;

    while ((option = getopt(argc, argv, "+f:n:a:m:i:s")) != -1) {
        if (option == 'f')
            flags = (int)strtol(optarg, NULL, 0);
        else if (option == 'n')
            times = atoi(optarg);
        else if (option == 'a')
            calls = atoi(optarg);
        else if (option == 'm' && measured < MAX_COUNTS)
            measure_at[measured++] = atoi(optarg);
        else if (option == 'i')
            interval.it_value.tv_usec = interval.it_interval.tv_usec = atoi(optarg);
        else if (option == 's')
            with_setcred = 1;
        else
            return 2;
    }
    if (argc < optind + 4)
        return 2;
    folder = argv[optind], service = argv[optind + 1];
    /* Out of the way: the descriptors below may be closed, and are to stay so. */
    opened = open(argv[optind + 2], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (opened < 0 || (output = fcntl(opened, F_DUPFD_CLOEXEC, OUTPUT_FD)) < 0)
        return 2;
    close(opened);
    for (int i = optind + 3; i < argc && count < MAX_PERSONS; i++, count++)
        for (persons[count].words = argv + i; i < argc && strcmp(argv[i], "+") != 0; i++)
            persons[count].count++;
    sigaction(SIGCHLD, NULL, &before);
    if (before.sa_handler != SIG_IGN)
        sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &interval, NULL);
    for (int i = 1; i < count; i++)
        if (pthread_create(&threads[i], NULL, log_in_often, &persons[i]) != 0)
            return 2;
    log_in_often(&persons[0]);
    for (int i = 1; i < count; i++)
        pthread_join(threads[i], NULL);
    look_for_children(__WALL); /* nor does one of another kind stay as a zombie */
    tell("end %d\n", (int)children_ended);
    return 0;
}
