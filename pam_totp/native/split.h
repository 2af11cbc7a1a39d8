/* One answer that holds password and code. */

#ifndef PAM_TOTP_SPLIT_H
#define PAM_TOTP_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

/* Both are in the answer, one after the other. */
struct halves {
    size_t password_length; /* from the beginning of the answer on */
    const char *code;
    size_t code_length;
};

/* Find the code at the end of an answer, for a user whose codes have one of these counts of
 * digits. False: there is none. */
bool split_answer(const char *answer, const unsigned char *digits, size_t count,
                  struct halves *halves);

#endif
