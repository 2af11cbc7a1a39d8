/* One answer into password and code: what pam_totp/core/one_answer.py says, in C, because the
 * password never leaves the application. tests/vectors/one_answer.json holds both to it. */

#include "split.h"

#include <security/_pam_types.h>
#include <string.h>

enum { MAX_RECOVERY_CODE = 64 }; /* bytes, with hyphens */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* 16 characters of Crockford's base32, in which O stands for 0, and I and L for 1; hyphens do not
 * count. Of ASCII alone, whatever the locale says. */
static bool is_recovery_code(const char *text, size_t length)
{
    size_t characters = 0;

    if (length > MAX_RECOVERY_CODE)
        return false;
    for (size_t i = 0; i < length; i++) {
        char upper = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];

        if (upper == '-')
            continue;
        if (!is_digit(upper) && (upper < 'A' || upper > 'Z' || upper == 'U'))
            return false;
        characters++;
    }
    return characters == 16;
}

bool split_answer(const char *answer, const unsigned char *digits, size_t count,
                  struct halves *halves)
{
    size_t length = strnlen(answer, PAM_MAX_RESP_SIZE + 1), run = 0, longest = 0, at;

    if (length > PAM_MAX_RESP_SIZE)
        return false;
    while (run < length && is_digit(answer[length - run - 1]))
        run++;
    for (size_t i = 0; i < count; i++)
        if (digits[i] <= run && digits[i] > longest)
            longest = digits[i];
    if (longest) {
        at = length - longest;
        halves->code = answer + at;
        halves->code_length = longest;
        halves->password_length = longest == run && at && answer[at - 1] == ' ' ? at - 1 : at;
        return true;
    }
    for (at = length; at && answer[at - 1] != ' '; at--)
        continue;
    if (!at || !is_recovery_code(answer + at, length - at))
        return false;
    halves->code = answer + at;
    halves->code_length = length - at;
    halves->password_length = at - 1;
    return true;
}
