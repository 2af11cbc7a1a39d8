"""A second factor for Linux logins: TOTP (RFC 6238) after the system password.

What runs during a login. Folders are layers: a file imports from its own folder and from those
above it in this list, and from nothing below.

    core/     codes, users, and what is decided about them: no clock, no randomness, no I/O
    system/   the machine underneath: configuration, log, files, errors
    stack/    PAM files as libpam reads them, and what they let happen
    store/    users, authenticators and recovery codes on disk
    login/    one login, from the user's name to PAM's return code: a flow, and what drives it
    service/  drives logins of pam_totp.so, which come over a socket, one or many at a time
    native/   pam_totp.so, in C: relays a login to a worker or to the service
    hook.py   for pam_python: pam_sm_authenticate and pam_sm_setcred in the application itself

Nothing here imports click, admin_cli, segno or pyotp: every import of this package runs as root,
in a worker or inside somebody's sshd.
"""

__version__ = "0.1.0"
