/* The packets of docs/internals/protocol.md: what they hold, byte by byte. */

#ifndef PAM_TOTP_WIRE_H
#define PAM_TOTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERSION = 1, HEADER = 4, MAX_PACKET = 32768, ABSENT = 0xFFFF };
enum packet_type {
    REQUEST = 1,
    ANSWER = 2,
    MESSAGE = 16,
    ASK_BOTH = 17,
    RESULT = 18,
    REFUSED = 19
};
enum answer_kind { TEXT = 0, NONE = 1, PASSWORD = 2, FAILED = 3, KEPT = 4, NO_CODE = 5 };
/* Flags of a REQUEST, beside those of the application. */
enum { PASSWORD_GIVEN = 0x40000000, ANSWER_KEPT = 0x20000000 };
enum { FEWEST_DIGITS = 6, MOST_DIGITS = 8 };

struct packet {
    size_t length;
    unsigned char bytes[MAX_PACKET];
};

/* What the worker tells the module to do. Points into the packet. */
struct order {
    enum packet_type type; /* MESSAGE, ASK_BOTH, RESULT or REFUSED */
    int style;             /* MESSAGE: PAM_PROMPT_ECHO_OFF to PAM_TEXT_INFO */
    const char *text;      /* MESSAGE, ASK_BOTH, REFUSED */
    const unsigned char *digits; /* ASK_BOTH: how many a code may have */
    size_t digits_count;         /* 0: there is no code in the answer */
    uint32_t number;       /* RESULT: a PAM code of the table */
};

/* Write a packet, field by field. False: it does not fit. */
void packet_begin(struct packet *packet, enum packet_type type);
bool packet_add(struct packet *packet, const void *bytes, size_t length);
bool packet_add_number(struct packet *packet, uint32_t number, int bytes);
bool packet_add_string(struct packet *packet, const char *text_or_null);

/* Understand a packet from the worker. False: our worker never sends it. */
bool packet_parse(struct packet *packet, struct order *order);

#endif
