"""The hook: what a PAM host loads, once per PAM handle, as pam_python does.

    auth required pam_python.so /usr/lib/pam_totp/hook.py

A host compiles this file anew at every login, so it is short: it finds the precompiled package
beside it and makes sure that whatever happens there, libpam gets a number from the table.
pam_python takes ``False`` for PAM_SUCCESS, and an exception for PAM_SERVICE_ERR without a word.
"""

import os
import sys

PAM_SUCCESS, PAM_SERVICE_ERR, PAM_IGNORE = 0, 3, 25

_ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_skipped = False


def pam_sm_authenticate(pamh, flags, argv):
    """Ask for a code and return one of login.CODES; ``argv[0]`` is this file's path."""
    global _skipped
    try:
        _trust_only_system_modules()
        from pam_totp import login

        code = login.authenticate(pamh, flags, argv[1:])
        if type(code) is not int or code not in login.CODES:
            raise TypeError("not a PAM code")
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: fail closed
        code = PAM_SERVICE_ERR
        _log(pamh, error)
    _skipped = code == PAM_IGNORE
    return code


def pam_sm_setcred(pamh, flags, argv):
    """Return PAM_SUCCESS, or PAM_IGNORE after a skip: there are no credentials to set."""
    return PAM_IGNORE if _skipped else PAM_SUCCESS


def _trust_only_system_modules():
    """Import from this package and from the distribution, not from /usr/local or the caller."""
    sys.path[:] = [_ROOT, *(p for p in sys.path if p.startswith("/usr/lib/") and p != _ROOT)]


def _log(pamh, error):
    """Log where it went wrong, without values: they may be secrets."""
    try:
        from pam_totp import audit

        places = []
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame.f_code
            places.append(f"{os.path.basename(frame.co_filename)}:{traceback.tb_lineno}")
            traceback = traceback.tb_next
        missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
        hint = f"install the Python module {missing}" if missing else "please report this"
        audit.record(
            "error",
            audit.Source(f"{pamh.service}:auth"),
            reason=f"unexpected {type(error).__name__}",
            at=" ".join(places),
            hint=hint,
        )
    except BaseException:
        pass
