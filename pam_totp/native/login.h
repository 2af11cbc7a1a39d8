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
    int patience; /* what is left of it, in ms */
    struct packet packet;
};

/* Write to the system log, in the form of pam_totp/system/audit.py. */
void report(struct login *login, const char *reason, const char *hint);

/* A socket, and the unit of systemd that listens on it. */
struct listener {
    const char *path, *hint;
};
extern const struct listener service;         /* serves many logins */
extern const struct listener worker_launcher; /* systemd, which starts a worker for each */

/* Connect to a listener; -1 where there is none that may be trusted. */
int connect_to(struct login *login, const struct listener *listener, bool may_be_absent);

/* Start a worker for this login alone, without systemd; return a socket to it, or -1. */
int start_worker(struct login *login);

/* Send or receive one packet, whole. False: errno says why; 0 is the worker's end. */
bool send_packet(struct login *login, int fd);
bool receive_packet(struct login *login, int fd);

#endif
