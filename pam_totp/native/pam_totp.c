/* pam_totp.so: relays one login to a worker, which runs the hook outside the application.
 *
 *     auth required pam_totp.so [argument...]
 *
 * The protocol is docs/internals/protocol.md. The worker decides; this module shows its
 * prompts through the application, sends the answers back, and returns its code. Whatever else
 * happens is a denied login, with a line in the system log, within a time limit. There is no
 * global state: each PAM handle may be used by a thread of its own.
 */

#include "language.h"
#include "login.h"

#include <errno.h>
#include <security/pam_ext.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 64, MAX_EXCHANGES = 100 };
enum { NO_WORKER = -1 }; /* in place of a PAM code: nothing was asked or decided yet */

void report(struct login *login, const char *reason, const char *hint)
{
    const void *user = NULL;
    const char *name = "";

    if (pam_get_item(login->pamh, PAM_USER, &user) == PAM_SUCCESS && user)
        name = user;
    if (strlen(name) > 64 ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        name = "?";
    pam_syslog(login->pamh, LOG_ERR, "event=error%s%s reason=\"%s\" hint=\"%s\"",
               *name ? " user=" : "", name, reason, hint);
}

const char *password_of(struct login *login)
{
    const void *password = NULL;

    if (pam_get_item(login->pamh, PAM_AUTHTOK, &password) != PAM_SUCCESS || !password)
        return NULL;
    return *(const char *)password ? password : NULL;
}

static bool make_request(struct login *login)
{
    static const int items[] = {PAM_USER, PAM_SERVICE, PAM_RHOST, PAM_RUSER, PAM_TTY};
    uint32_t flags = (uint32_t)login->flags & ~(uint32_t)(PASSWORD_GIVEN | ANSWER_KEPT);
    char processes[MAX_PROCESSES];
    bool fits;

    packet_begin(&login->packet, REQUEST);
    if (password_of(login))
        flags |= PASSWORD_GIVEN;
    if (kept_code(login->pamh))
        flags |= ANSWER_KEPT;
    fits = packet_add_number(&login->packet, flags, 4);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        const void *value = NULL;

        if (pam_get_item(login->pamh, items[i], &value) != PAM_SUCCESS)
            value = NULL;
        fits = fits && packet_add_string(&login->packet, value);
    }
    fits = fits && packet_add_string(&login->packet, pam_getenv(login->pamh, "SSH_AUTH_INFO_0"));
    fits = fits && packet_add_string(&login->packet, describe_processes(processes, sizeof processes)
                                                         ? processes
                                                         : NULL);
    fits = fits && login->argc <= MAX_ARGUMENTS &&
           packet_add_number(&login->packet, (uint32_t)login->argc, 1);
    for (int i = 0; fits && i < login->argc; i++)
        fits = packet_add_string(&login->packet, login->argv[i]);
    return fits;
}

bool say(struct login *login, int style, const char *text, char **answer)
{
    const struct pam_conv *conv = NULL;
    const void *item = NULL;
    struct pam_message message = {.msg_style = style, .msg = text};
    const struct pam_message *messages = &message;
    struct pam_response *response = NULL;
    bool said;

    if (pam_get_item(login->pamh, PAM_CONV, &item) == PAM_SUCCESS)
        conv = item;
    said = conv && conv->conv &&
           conv->conv(1, &messages, &response, conv->appdata_ptr) == PAM_SUCCESS;
    *answer = response ? response->resp : NULL;
    free(response);
    if (!said && *answer) {
        explicit_bzero(*answer, strlen(*answer));
        free(*answer);
        *answer = NULL;
    }
    return said;
}

static void make_answer(struct login *login, enum answer_kind kind, const char *text)
{
    packet_begin(&login->packet, ANSWER);
    packet_add_number(&login->packet, kind, 1);
    if (kind == TEXT && text) /* a longer one is no code, with or without its end */
        packet_add(&login->packet, text, strnlen(text, PAM_MAX_RESP_SIZE));
}

/* Show a prompt or a message, and make the packet with what came back. */
static void converse(struct login *login, const struct order *order)
{
    enum answer_kind kind = FAILED;
    char *text = NULL;
    const char *password;

    if (say(login, order->style, order->text, &text))
        kind = text ? TEXT : NONE;
    /* The password given again is told, not sent: it never leaves the application. */
    if (text && (password = password_of(login)) && strcmp(text, password) == 0)
        kind = PASSWORD;
    make_answer(login, kind, text);
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static bool is_prompt(const struct order *order)
{
    return order->style == PAM_PROMPT_ECHO_OFF || order->style == PAM_PROMPT_ECHO_ON;
}

/* Do what the worker says until it gives a code. */
static int be_led(struct login *login, int fd)
{
    struct order order;

    if (!make_request(login)) {
        report(login, "request too large (over 64 arguments or 32 KiB)",
               "shorten the arguments of pam_totp.so");
        return PAM_SERVICE_ERR;
    }
    if (!send_packet(login, fd)) {
        report(login, "the worker takes no request", "look at: systemctl status pam_totp.service");
        return NO_WORKER;
    }
    for (int exchange = 0; exchange < MAX_EXCHANGES; exchange++) {
        if (!receive_packet(login, fd)) {
            if (exchange == 0 && (errno == 0 || errno == ECONNRESET)) {
                report(login, "the worker ended before it began", "look further up in this log");
                return NO_WORKER;
            }
            report(login, errno == ETIMEDOUT ? "the worker did not answer in time"
                                             : "the worker ended in the middle",
                   "look at: systemctl status pam_totp.service");
            return PAM_SERVICE_ERR;
        }
        if (!packet_parse(&login->packet, &order) ||
            (order.type == ASK_BOTH && !login->asks_both)) {
            report(login, "the worker answered what this module does not understand",
                   "restart it: systemctl restart pam_totp.service");
            return PAM_SERVICE_ERR;
        }
        switch (order.type) {
        case MESSAGE:
        case ASK_BOTH:
            if (order.type == ASK_BOTH)
                make_answer(login, ask_both(login, &order), NULL);
            else if (login->kept && is_prompt(&order))
                make_answer(login, TEXT, login->kept); /* nobody is asked again */
            else
                converse(login, &order);
            if (!send_packet(login, fd)) {
                report(login, "the worker ended in the middle", "look further up in this log");
                return PAM_SERVICE_ERR;
            }
            explicit_bzero(login->packet.bytes, login->packet.length);
            break;
        case RESULT:
            return (int)order.number;
        default: /* REFUSED: it can not, or must not, serve this module */
            if (exchange == 0) {
                report(login, "the worker refused this login", "look further up in this log");
                return NO_WORKER;
            }
            report(login, "the worker refused in the middle", "look further up in this log");
            return PAM_SERVICE_ERR;
        }
    }
    report(login, "the worker asked too often", "restart it: systemctl restart pam_totp.service");
    return PAM_SERVICE_ERR;
}

/* Say that no code can be checked. Under PAM_SILENT, as in sudo, messages are not shown, and sudo
 * would blame the person ("Sorry, try again."): there in a prompt, as pam_totp/login/conversation.py. */
static void tell_unavailable(struct login *login)
{
    const struct translated *said = translated_for(login->argc, login->argv);
    char *answer = NULL;

    if (!(login->flags & PAM_SILENT)) {
        pam_error(login->pamh, "%s", said->unavailable);
        return;
    }
    pam_prompt(login->pamh, PAM_PROMPT_ECHO_OFF, &answer, "%s\n%s", said->unavailable,
               said->press_enter);
    if (answer)
        explicit_bzero(answer, strlen(answer));
    free(answer);
}

/* Ask the worker at the other end of fd, if there is one. */
static int ask(struct login *login, int fd)
{
    int code = NO_WORKER;

    if (fd >= 0) {
        code = be_led(login, fd);
        close(fd);
    }
    return code;
}

/* The service first; then a worker of this login's own, which systemd starts out of reach of the
 * caller; and only where it does not, one that this process starts. */
static int authenticate(struct login *login)
{
    bool may_start_one = geteuid() == 0;
    const char *user = NULL;
    int code;

    if (pam_get_user(login->pamh, &user, NULL) != PAM_SUCCESS) {
        report(login, "nobody said who logs in", "look at the application");
        return PAM_CONV_ERR;
    }
    code = ask(login, connect_to(login, &service, may_start_one));
    if (code == NO_WORKER && may_start_one)
        code = ask(login, connect_to(login, &worker_launcher, true));
    if (code == NO_WORKER && may_start_one)
        code = ask(login, start_worker(login));
    if (code != NO_WORKER)
        return code;
    report(login, "no worker could be asked", "look at: systemctl status pam_totp.socket; "
                                              "for a program without root: unprivileged = yes");
    if (!login->kept)
        tell_unavailable(login);
    return PAM_AUTHINFO_UNAVAIL;
}

static bool is_among(int argc, const char **argv, const char *argument)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], argument) == 0)
            return true;
    return false;
}

/* What is true of this line, whatever the worker says: one that asks for both never grants; and
 * where the code was kept, the password was right, so that a refusal has to look as if it had been
 * wrong. */
static int held_to_its_line(const struct login *login, int code)
{
    if (login->asks_both)
        return code == PAM_SUCCESS ? PAM_SERVICE_ERR : code;
    if (login->kept && code != PAM_SUCCESS && code != PAM_IGNORE)
        return PAM_AUTH_ERR;
    return code;
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct login *login = calloc(1, sizeof *login);
    int code = PAM_SERVICE_ERR;

    if (!login) {
        pam_syslog(pamh, LOG_ERR, "event=error reason=\"no memory\"");
        return code;
    }
    login->pamh = pamh;
    login->flags = flags;
    login->argc = argc;
    login->argv = argv;
    login->patience = PAM_TOTP_PATIENCE * 1000;
    login->asks_both = is_among(argc, argv, "first_factor=password");
    if (!login->asks_both)
        login->kept = kept_code(pamh);
    else if (!password_of(login)) /* what there is comes from an earlier call */
        forget_kept_code(pamh);
    code = held_to_its_line(login, authenticate(login));
    if (!login->asks_both)
        forget_kept_code(pamh);
    explicit_bzero(login->packet.bytes, HEADER + 1 + PAM_MAX_RESP_SIZE); /* no answer is longer */
    free(login);
    pam_set_data(pamh, "pam_totp_skipped", code == PAM_IGNORE ? (void *)"" : NULL, NULL);
    return code;
}

/* A line that jumps gets its way here too, and libpam (not Debian's) takes what it returns for the
 * answer of the whole stack: for those, the ones with first_factor=key, never PAM_IGNORE. */
EXPORTED int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    const void *skipped = NULL;

    (void)flags;
    if (is_among(argc, argv, "first_factor=key"))
        return PAM_SUCCESS;
    if (pam_get_data(pamh, "pam_totp_skipped", &skipped) == PAM_SUCCESS && skipped)
        return PAM_IGNORE;
    return PAM_SUCCESS;
}
