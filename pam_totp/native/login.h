/* One call of pam_sm_authenticate, the ways to a worker (reach.c), and packets to and from it
 * (transfer.c). */

#ifndef PAM_TOTP_LOGIN_H
#define PAM_TOTP_LOGIN_H

#include <security/pam_modules.h>

#include "wire.h"

#ifndef PAM_TOTP_SOCKET
#define PAM_TOTP_SOCKET "/run/pam_totp/pam_totp.sock"
#endif
#ifndef PAM_TOTP_WORKER_SOCKET
#define PAM_TOTP_WORKER_SOCKET "/run/pam_totp/worker.sock"
#endif
#ifndef PAM_TOTP_WORKER
#define PAM_TOTP_WORKER "/usr/lib/pam_totp/worker"
#endif
#ifndef PAM_TOTP_PATIENCE
#define PAM_TOTP_PATIENCE 30 /* seconds that the worker may take, all in all: not the person */
#endif

struct login {
    pam_handle_t *pamh;
    int flags;
    int argc;
    const char **argv;
    int patience;     /* what is left of it, in ms */
    bool asks_both;   /* its line has first_factor=password: it never grants */
    const char *kept; /* of another line: what a line before has kept, which answers its prompts */
    struct packet packet;
};

/* Write to the system log, in the form of pam_totp/system/audit.py. */
void report(struct login *login, const char *reason, const char *hint);

/* The password that a module before this one asked for, right or wrong; NULL if none did. */
const char *password_of(struct login *login);

/* Show a prompt or a message. False: the application could not. *answer is the caller's to wipe and
 * to free; NULL: there is none. */
bool say(struct login *login, int style, const char *text, char **answer);

/* both.c: have password and code asked for in one answer, for the next module and the next line;
 * what came of it. */
enum answer_kind ask_both(struct login *login, const struct order *order);

/* The code that was kept, "" for none; NULL: no line has asked for both. It stays until it is
 * forgotten. */
const char *kept_code(pam_handle_t *pamh);
void forget_kept_code(pam_handle_t *pamh);

/* A socket, and the unit of systemd that listens on it. */
struct listener {
    const char *path, *hint;
};
extern const struct listener service;         /* serves many logins */
extern const struct listener worker_launcher; /* systemd, which starts a worker for each */

/* Say of which session the application is, and by whom it was started. False: nobody knows. */
enum { MAX_PROCESSES = 1600 };
bool describe_processes(char *text, size_t size);

/* Connect to a listener; -1 where there is none that may be trusted. */
int connect_to(struct login *login, const struct listener *listener, bool may_be_absent);

/* Start a worker for this login alone, without systemd; return a socket to it, or -1. */
int start_worker(struct login *login);

/* Send or receive one packet, whole. False: errno says why; 0 is the worker's end. */
bool send_packet(struct login *login, int fd);
bool receive_packet(struct login *login, int fd);

#endif
