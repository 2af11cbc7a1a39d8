/* A password module for tests: what is right stands in its arguments, as in no real one.
 *
 *     auth required pam_one_password.so PASSWORD
 *
 * It takes the password as pam_unix does: PAM_AUTHTOK if there is one, else it asks; and it asks
 * for the same delay of a refusal. What it tried goes to the log, in brackets.
 */

#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <string.h>
#include <syslog.h>

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    const char *password = NULL;

    (void)flags;
    pam_fail_delay(pamh, 2000000);
    if (argc != 1 || pam_get_authtok(pamh, PAM_AUTHTOK, &password, NULL) != PAM_SUCCESS)
        return PAM_AUTH_ERR;
    pam_syslog(pamh, LOG_INFO, "tried [%s]", password);
    return strcmp(password, argv[0]) == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void)pamh, (void)flags, (void)argc, (void)argv;
    return PAM_SUCCESS;
}
