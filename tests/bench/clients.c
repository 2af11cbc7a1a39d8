/* Many clients of the worker at once, without libpam: verifications a second.
 *
 *     clients SOCKET CLIENTS USERS CODE,CODE... ARGUMENT...
 *
 * Logs the users u0, u1, ... in, each with one CODE after the other: a later code would make an
 * earlier one void. Each of CLIENTS threads does its share. Prints the seconds that it took; ends
 * with 1 at the first login that was not accepted.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *path, *codes[8];
static char **arguments;
static int argument_count, users, code_count;
static int next_user;

static size_t put(unsigned char *packet, size_t at, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    packet[at] = (unsigned char)(text ? length >> 8 : 0xFF);
    packet[at + 1] = (unsigned char)(text ? length : 0xFF);
    memcpy(packet + at + 2, text ? text : "", length);
    return at + 2 + length;
}

static int log_in(int number, const char *code)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned char packet[4096] = "PT\1\1\0\0\0";
    size_t at = 8;
    char user[16];
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), accepted = 0;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    snprintf(user, sizeof user, "u%d", number);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return 0;
    at = put(packet, at, user);
    at = put(packet, at, "bench");
    for (int absent = 0; absent < 5; absent++) /* rhost, ruser, tty, SSH_AUTH_INFO_0, processes */
        at = put(packet, at, NULL);
    packet[at++] = (unsigned char)argument_count;
    for (int i = 0; i < argument_count; i++)
        at = put(packet, at, arguments[i]);
    if (send(fd, packet, at, MSG_NOSIGNAL) == (ssize_t)at && recv(fd, packet, sizeof packet, 0) > 4 &&
        packet[3] == 16) {
        memcpy(packet, "PT\1\2\0", 5);
        memcpy(packet + 5, code, strlen(code));
        accepted = send(fd, packet, 5 + strlen(code), MSG_NOSIGNAL) > 0 &&
                   recv(fd, packet, sizeof packet, 0) == 5 && packet[3] == 18 && packet[4] == 0;
    }
    close(fd);
    return accepted;
}

static void *run(void *unused)
{
    for (;;) {
        int number = __atomic_fetch_add(&next_user, 1, __ATOMIC_RELAXED);

        if (number >= users)
            return unused;
        for (int i = 0; i < code_count; i++)
            if (!log_in(number, codes[i])) {
                fprintf(stderr, "code %d of u%d was not accepted\n", i, number);
                exit(1);
            }
    }
}

int main(int argc, char **argv)
{
    struct timespec begin, end;
    pthread_t threads[1024];
    int clients = argc > 4 ? atoi(argv[2]) : 0;

    if (clients < 1 || clients > 1024)
        return 2;
    path = argv[1];
    users = atoi(argv[3]);
    for (char *code = strtok(argv[4], ","); code && code_count < 8; code = strtok(NULL, ","))
        codes[code_count++] = code;
    arguments = argv + 5;
    argument_count = argc - 5;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < clients; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    for (int i = 0; i < clients; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f\n", (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    return 0;
}
