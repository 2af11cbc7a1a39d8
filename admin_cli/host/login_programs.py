"""How programs use PAM where that decides whether a code can work: known ones, from their source.

What is not in these tables is taken for a program that shows each prompt to the person.
"""

from __future__ import annotations

# These run as the user, without root, and give what was typed in their one field as the answer to
# every prompt. So neither password and code nor ``unprivileged = yes`` lets anybody out of them.
LOCKERS = {
    "swaylock": "swaylock/pam.c: handle_conversation() answers each prompt with pw_buf",
    "gtklock": "gtklock/src/auth.c: the conversation answers each prompt with the password",
    "i3lock": "i3lock/i3lock.c: conv_callback() answers each prompt with the password",
}
# These run as root, and have taken a password before they ask PAM: it answers every hidden prompt.
PASSWORD_ONLY = {
    "vsftpd": "vsftpd/sysdeputil.c: pam_conv_func() answers PAM_PROMPT_ECHO_OFF with s_pword_str",
    "proftpd": "proftpd/modules/mod_auth_pam.c: pam_exchange() answers with the password of PASS",
    "dovecot": "dovecot/src/auth/passdb-pam.c: pam_userpass_conv() answers with the password",
    "xrdp-sesman": "xrdp/sesman: verify_pam_conv() answers PAM_PROMPT_ECHO_OFF with the password",
    "radiusd": "freeradius/src/modules/rlm_pam: pam_conv() answers PAM_PROMPT_ECHO_OFF likewise",
}
# The same, unless it is told otherwise: the service that its plugin is given, by most pages.
PASSWORD_ONLY_AS_A_RULE = {
    "openvpn": "openvpn/src/plugins/auth-pam/auth-pam.c: my_conv(); with a list of prompts and "
    "static-challenge, clients ask for the code by itself",
}
# These never call pam_authenticate(): the auth lines of their files are not read.
NEVER_AUTHENTICATE = {
    "cron": "Debian's cron/do_command.c: pam_acct_mgmt(), pam_setcred(), pam_open_session()",
    "crond": "cronie/src/security.c: pam_acct_mgmt(), pam_setcred(), pam_open_session()",
    "atd": "at/atd.c: pam_acct_mgmt(), pam_open_session(), pam_setcred()",
    "systemd-user": "systemd, setup_pam(): pam_acct_mgmt(), pam_setcred(), pam_open_session()",
}


def why_no_code(service: str) -> str | None:
    """Return why a code after the password can never be asked for by ``service``; None: it may be.

    Whether both may come in one answer, can_ask_for_both() says.
    """
    if service in LOCKERS:
        return (
            f"{service} runs without root and answers every prompt with the password: "
            "with a code after it, nobody could unlock the screen"
        )
    if service in PASSWORD_ONLY:
        return (
            f"{service} answers every hidden prompt with the password: "
            "with a code after it, nobody could log in"
        )
    if service in NEVER_AUTHENTICATE:
        return f"{service} never authenticates anybody, so it would never ask for a code"
    return None


def can_ask_for_both(service: str) -> bool:
    """Whether ``service`` can at least take password and code in one answer."""
    return service not in LOCKERS and service not in NEVER_AUTHENTICATE


def asks_only_once(service: str) -> bool:
    """Whether ``service`` is a program that asks for one answer, and can take both in it."""
    return service in PASSWORD_ONLY or service in PASSWORD_ONLY_AS_A_RULE


def is_shut_out_by_a_code(service: str) -> bool:
    """Whether nobody gets in by ``service`` once its stack asks for a code after the password."""
    return service in LOCKERS or service in PASSWORD_ONLY
