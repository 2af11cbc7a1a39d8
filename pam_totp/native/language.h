/* What the module says of its own, where no worker can be reached. */

#ifndef PAM_TOTP_LANGUAGE_H
#define PAM_TOTP_LANGUAGE_H

struct translated {
    const char *language; /* "": English */
    const char *unavailable;
    const char *press_enter;
};

/* Return it in the language of this host, or of the PAM line with these arguments. */
const struct translated *translated_for(int argc, const char **argv);

#endif
