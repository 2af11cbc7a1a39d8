"""What comes of each way to log in, at each service: one table, which test_matrix.py tries.

"ssh-key" is sshd as well, for somebody with a key. sshd, sudo, su and login are as ``totpctl
enable`` sets them up, all others as ``totpctl enable --one-prompt`` does. "may enroll": not
enrolled either, under ``unenrolled = enroll``.
"""

from __future__ import annotations

TABLE = """
                  ssh     ssh-key sudo    su      login   openvpn vsftpd  dovecot xrdp    radius
code              code    code    code    code    code    -field  -field  -field  -field  -field
one field         -asks   -asks   -asks   -asks   -asks   code    code    code    code    code
recovery code     code    code    code    code    code    code    code    code    code    code
trusted place     in      in      code    code    in      code    code    code    code    code
security key      -away   -away   in      in      in      -away   -away   -away   -away   -away
exempt            in      in      in      in      in      in      in      in      in      in
exempt, key only  no      in      in      in      in      in      in      in      in      in
not enrolled      wrong   wrong   wrong   wrong   wrong   no      no      no      no      no
may enroll        enrolls wrong   wrong   enrolls enrolls no      no      no      no      no
wrong code        wrong   wrong   wrong   wrong   wrong   no      no      no      no      no
used code         used    used    used    used    used    no      no      -cached no      no
locked            locked  locked  locked  locked  locked  no      no      no      no      no
suspended         wrong   wrong   wrong   wrong   wrong   no      no      no      no      no
"""
OUTCOMES = {
    "code": "let in with a code, and not without",
    "in": "let in by the password, or the key, alone",
    "enrolls": "enrolled in the login, and let in",
    "wrong": "denied, and told that the code is wrong",
    "used": "denied, and told that the code was used",
    "locked": "denied, and told who can help",
    "no": "denied, and told nothing: the program shows no messages, or never asks PAM",
}
NO_SENSE = {
    "-cached": "Dovecot lets in by its cache, and asks nobody",
    "-field": "there is one field: that is the row below",
    "-asks": "the password was judged before the code is asked for",
    "-away": "whoever logs in is not at the machine, where the key would be",
}
_WIDTH = 18  # of the names of ways
_HEAD, *_ROWS = TABLE.strip("\n").splitlines()
SERVICES = tuple(_HEAD.split())
NIGHTLY = ("openvpn", "xrdp", "radius")  # seconds for each refusal; of packages that are fetched
_CELLS = {row[:_WIDTH].strip(): row[_WIDTH:].split() for row in _ROWS}
WAYS = tuple(_CELLS)


def column(service: str) -> dict[str, str]:
    """Return what comes of each way that makes sense at ``service``."""
    cells = {way: cells[SERVICES.index(service)] for way, cells in _CELLS.items()}
    return {way: cell for way, cell in cells.items() if cell not in NO_SENSE}


def user_of(way: str) -> str:
    """Return the login name of the person who is there for ``way`` alone."""
    return way.replace(",", "").replace(" ", "-")


def rows() -> list[list[str]]:
    return list(_CELLS.values())
