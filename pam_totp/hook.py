"""The hook: what pam_python loads into an application, once per PAM handle. Not for pam_totp.so.

    auth required pam_python.so /usr/lib/pam_totp/hook.py

It is compiled at every login, so it is short: it finds the precompiled package beside it and
makes sure that whatever happens there, libpam gets a number from the table. pam_python takes
``False`` for PAM_SUCCESS, and an exception for PAM_SERVICE_ERR without a word.
"""

import os
import sys

PAM_SUCCESS, PAM_SERVICE_ERR, PAM_AUTH_ERR, PAM_IGNORE = 0, 3, 7, 25

_ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_skipped = False
_kept = []  # in this handle: the code that came with the password, for the next line


def pam_sm_authenticate(pamh, flags, argv):
    """Ask for a code and return one of flow.CODES; ``argv[0]`` is this file's path."""
    global _skipped
    was_kept = bool(_kept)
    judges = True
    try:
        judges = "first_factor=password" not in argv
        sys.path.insert(0, _ROOT)
        from pam_totp.system import embedding

        service = "?"
        try:
            service = embedding.service_of(pamh)
            embedding.make_safe(service, _ROOT)
            from pam_totp.login import flow, in_process

            code = in_process.authenticate(pamh, flags, argv[1:], _kept)
            if type(code) is not int or code not in flow.CODES:
                raise TypeError("not a PAM code")
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: fail closed
            code = PAM_SERVICE_ERR
            embedding.report(service, error)
    except BaseException:
        code = PAM_SERVICE_ERR
    if judges:
        if was_kept and code not in (PAM_SUCCESS, PAM_IGNORE):
            code = PAM_AUTH_ERR  # the password was right: that has to look as if it had been wrong
        _kept.clear()
    _skipped = code == PAM_IGNORE
    return code


def pam_sm_setcred(pamh, flags, argv):
    """Return PAM_SUCCESS, or PAM_IGNORE after a skip: there are no credentials to set.

    A line that jumps gets its way here too, and libpam (not Debian's) takes what it returns for
    the answer of the whole stack: for those, the ones with first_factor=key, never PAM_IGNORE.
    """
    return PAM_IGNORE if _skipped and "first_factor=key" not in argv else PAM_SUCCESS
