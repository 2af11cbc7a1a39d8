/* Password and code in one answer: a line with first_factor=password has it asked for, and the line
 * after the password module judges the code. In between, the code is in the PAM handle. */

#include "login.h"
#include "split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DATA "pam_totp_answer"

enum { DELAY = 2000000 }; /* microseconds */

struct kept {
    char code[65]; /* "": the answer had none */
};

static void forget(pam_handle_t *pamh, void *data, int status)
{
    (void)pamh;
    (void)status;
    explicit_bzero(data, sizeof(struct kept));
    free(data);
}

const char *kept_code(pam_handle_t *pamh)
{
    const void *data = NULL;

    if (pam_get_data(pamh, DATA, &data) != PAM_SUCCESS || !data)
        return NULL;
    return ((const struct kept *)data)->code;
}

void forget_kept_code(pam_handle_t *pamh)
{
    if (kept_code(pamh))
        pam_set_data(pamh, DATA, NULL, NULL);
}

static bool keep(pam_handle_t *pamh, const struct halves *halves)
{
    struct kept *kept = calloc(1, sizeof *kept);

    if (!kept)
        return false;
    if (halves->code && halves->code_length < sizeof kept->code)
        memcpy(kept->code, halves->code, halves->code_length);
    if (pam_set_data(pamh, DATA, kept, forget) == PAM_SUCCESS)
        return true;
    forget(pamh, kept, 0);
    return false;
}

/* The code is judged only after a right password, which takes a few milliseconds more. libpam waits
 * before it tells of a refusal, for as long as the module says that asks for most, pam_unix for two
 * seconds; ours adds two more at most. The sum of four random numbers has no edge that a few
 * logins would show. */
static bool delay_refusal(pam_handle_t *pamh)
{
    uint32_t random[4];
    unsigned int delay = DELAY;

    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return false;
    for (int i = 0; i < 4; i++)
        delay += random[i] % (DELAY / 4);
    return pam_fail_delay(pamh, delay) == PAM_SUCCESS;
}

/* Hand on what is nobody's password, so that an answer without a code never tells whether the
 * password was right: it is not tried. */
static bool set_nobodys_password(pam_handle_t *pamh)
{
    unsigned char random[16];
    char text[2 * sizeof random + 1];

    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return pam_set_item(pamh, PAM_AUTHTOK, text) == PAM_SUCCESS;
}

/* Put the password of an answer into its place, and the code into ours. */
static enum answer_kind take(pam_handle_t *pamh, char *answer, const struct order *order)
{
    struct halves halves = {0};
    bool whole = order->digits_count == 0;

    if (!delay_refusal(pamh))
        return FAILED;
    if (!whole && !split_answer(answer, order->digits, order->digits_count, &halves))
        return keep(pamh, &halves) && set_nobodys_password(pamh) ? NO_CODE : FAILED;
    if (!keep(pamh, &halves))
        return FAILED;
    if (!whole)
        answer[halves.password_length] = '\0';
    return pam_set_item(pamh, PAM_AUTHTOK, answer) == PAM_SUCCESS ? KEPT : FAILED;
}

enum answer_kind ask_both(struct login *login, const struct order *order)
{
    const char *password = password_of(login);
    char *answer = NULL;
    enum answer_kind kind = FAILED;
    size_t length;

    if (password)
        answer = strdup(password);
    else if (say(login, PAM_PROMPT_ECHO_OFF, order->text, &answer))
        kind = NONE;
    if (!answer)
        return kind;
    length = strlen(answer);
    kind = take(login->pamh, answer, order);
    explicit_bzero(answer, length);
    free(answer);
    return kind;
}
