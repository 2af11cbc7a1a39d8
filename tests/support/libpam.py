"""The real libpam, in this process: one login on a folder of PAM files.

Only for stacks of modules in C, such as pam_debug: none that runs Python.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

PAM_ESTABLISH_CRED = 0x0002  # security/_pam_types.h
PAM_BUF_ERR = 5


class _Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]


class _Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("code", ctypes.c_int)]


_CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = [("converse", _CONVERSE), ("data", ctypes.c_void_p)]


class Login(NamedTuple):
    """What pam_authenticate and, after a success, pam_setcred returned, and all that was shown.

    ``code`` is pam_start's, where that fails.
    """

    code: int
    setcred: int | None
    shown: list[str]


def log_in(folder: Path, service: str, user: str = "root") -> Login:
    """Authenticate on the file ``service`` of ``folder``; nobody answers any prompt.

    Debian's libpam looks for included files in /etc/pam.d: name them by their paths.
    """
    libpam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
    libc.calloc.restype = ctypes.c_void_p
    shown: list[str] = []

    def converse(count: int, messages: object, responses: object, _: object) -> int:
        for i in range(count):
            shown.append(messages[i].contents.text.decode())  # type: ignore[index]
        memory = libc.calloc(count, ctypes.sizeof(_Response))
        if not memory:
            return PAM_BUF_ERR
        responses[0] = ctypes.cast(memory, ctypes.POINTER(_Response))  # type: ignore[index]
        return 0

    conversation = _Conversation(_CONVERSE(converse), None)
    handle = ctypes.c_void_p()
    started = libpam.pam_start_confdir(
        service.encode(),
        user.encode(),
        ctypes.byref(conversation),
        str(folder).encode(),
        ctypes.byref(handle),
    )
    if started != 0:  # it cannot make anything of the files
        return Login(started, None, [])
    code = libpam.pam_authenticate(handle, 0)
    setcred = None if code else libpam.pam_setcred(handle, PAM_ESTABLISH_CRED)
    assert libpam.pam_end(handle, code) == 0
    return Login(code, setcred, shown)
