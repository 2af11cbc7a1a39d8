/* Packets to and from a worker: every wait ends. */

#include "login.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

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
