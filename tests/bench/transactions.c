/* PAM transactions of one process, one after the other.
 *
 *     transactions SERVICE CODE PAUSE USER...
 *
 * Logs each USER in, answering every prompt with CODE, and prints the nanoseconds of each
 * transaction, pam_start(3) to pam_end(3). Waits PAUSE milliseconds between two of them. Ends with 1
 * at the first that does not succeed.
 */

#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int answer(int count, const struct pam_message **messages, struct pam_response **responses,
                  void *code)
{
    *responses = calloc((size_t)count, sizeof **responses);
    for (int i = 0; *responses && i < count; i++)
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
            (*responses)[i].resp = strdup(code);
    return *responses ? PAM_SUCCESS : PAM_BUF_ERR;
}

int main(int argc, char **argv)
{
    struct pam_conv conv = {.conv = answer, .appdata_ptr = argc > 4 ? argv[2] : NULL};
    long pause = argc > 4 ? atol(argv[3]) : 0;
    struct timespec between = {pause / 1000, pause % 1000 * 1000000};

    for (int i = 4; i < argc; i++) {
        struct timespec begin, end;
        pam_handle_t *pamh = NULL;
        int code;

        if (i > 4 && pause > 0)
            nanosleep(&between, NULL);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        code = pam_start(argv[1], argv[i], &conv, &pamh);
        if (code == PAM_SUCCESS)
            code = pam_authenticate(pamh, 0);
        pam_end(pamh, code);
        clock_gettime(CLOCK_MONOTONIC, &end);
        if (code != PAM_SUCCESS) {
            fprintf(stderr, "%s: %s\n", argv[i], pam_strerror(NULL, code));
            return 1;
        }
        printf("%lld\n", (long long)(end.tv_sec - begin.tv_sec) * 1000000000LL +
                             (end.tv_nsec - begin.tv_nsec));
    }
    return 0;
}
