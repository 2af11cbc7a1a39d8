"""Random PAM files: the dispatcher, the judge and what enable writes, beside libpam.

Each stack is made from a number, which tells a failing one. How many are tried stands in STACKS;
``tests/run nightly`` sets it to more, and begins with another number every day.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

STACKS = int(os.environ.get("PAM_TOTP_STACKS", "600"))
FIRST = int(os.environ.get("PAM_TOTP_FIRST_STACK", "0"))
CODES = ["success", "auth_err", "ignore", "new_authtok_reqd", "user_unknown", "perm_denied"]
WORDS = ["required", "requisite", "sufficient", "optional", "Required", "SUFFICIENT", "[optional]"]
PARTS = ("part0", "part1", "part2")
MISSING = "pam_there_is_none.so"

# Few lines, so many of these jumps lead beyond the end of the file or of a substack.
ACTIONS = ["ok", "done", "bad", "die", "ignore", "reset", "reset", "1", "2", "3", "4", "9"]
BLANKS = [" ", "\t", "   ", " \\\n  "]
ENDS = ["\n", " \n", "  # a comment\n", "\n\n# a line\n", "\n\t\n"]
INCLUDES = ["auth include {}\n", "auth substack {}\n", "@include {}\n", "account include {}\n"]

Choice = random.Random
Line = Callable[[Choice], str]


def choices(share: int = 1) -> Iterator[tuple[int, Choice]]:
    """Yield the number and the randomness of every ``share``-th stack."""
    for number in range(FIRST, FIRST + STACKS, share):
        yield number, random.Random(number)


def control(choice: Choice, codes: list[str]) -> str:
    """Return a word, or brackets that say more often than not what one of ``codes`` leads to."""
    if choice.random() < 0.5:
        return choice.choice(WORDS)
    named = [*codes, *codes, "default", *CODES]
    pairs = [
        f"{choice.choice(named)}={choice.choice(ACTIONS)}" for _ in range(choice.randint(1, 3))
    ]
    return f"[{choice.choice([' ', chr(9), '  ']).join(pairs)}]"


def debug_line(choice: Choice) -> str:
    """Return a line of pam_debug, with the code that it returns."""
    code = choice.choice(["success", *CODES])
    kind = choice.choice(["auth", "AUTH", "-auth", "auth", "auth"])
    words = [kind, control(choice, [code]), "pam_debug.so", f"auth={code}"]
    if choice.random() < 0.07:
        words[2:] = [MISSING]
    return choice.choice(BLANKS).join(words) + choice.choice(ENDS)


def folder(choice: Choice, line: Line) -> dict[str, str]:
    """Return a service and what it includes: substacks in substacks, includes among other lines."""
    texts = {name: _file(choice, line, PARTS[at:]) for at, name in enumerate(("service", *PARTS))}
    return {**texts, "other": "auth required pam_deny.so\n"}


def _file(choice: Choice, line: Line, parts: tuple[str, ...]) -> str:
    lines = []
    for _ in range(choice.randint(1, 6)):
        which = choice.random()
        if which < 0.25 and parts:
            lines.append(choice.choice(INCLUDES).format(choice.choice(parts)))
        elif which > 0.9:
            lines.append("account required pam_permit.so\n")
        else:
            lines.append(line(choice))
    return "".join(lines)


def write(folder: Path, texts: dict[str, str]) -> None:
    """Write the files; Debian's libpam looks for included ones in /etc/pam.d, unless by path."""
    for name, text in texts.items():
        for part in PARTS:
            text = text.replace(f" {part}\n", f" {folder / part}\n")
        (folder / name).write_text(text, encoding="utf-8")


# Modules with a part in a login. "line=N" tells them apart: each returns a code of its own.
PASSWORD, OTHER_PASSWORD = "pam_unix.so", "pam_sss.so"
CODE, KEY = "pam_totp.so", "pam_totp.so first_factor=key"
BOTH = "pam_totp.so first_factor=password"
ROLES = {
    PASSWORD: ["success", "success", "auth_err", "user_unknown", "new_authtok_reqd"],
    OTHER_PASSWORD: ["success", "auth_err", "user_unknown"],
    CODE: ["success", "success", "ignore", "auth_err", "perm_denied"],
    KEY: ["success", "ignore"],
    BOTH: ["ignore", "ignore", "perm_denied"],
    "pam_access.so": CODES,
    "pam_faildelay.so": ["success", "ignore"],
    "pam_permit.so": ["success"],
    "pam_deny.so": ["auth_err"],
    MISSING: ["module_unknown"],
}
_USUAL = [
    "auth [success=1 default=ignore] {PASSWORD}\nauth requisite pam_deny.so\n"
    "auth required pam_permit.so\n",
    "auth requisite {PASSWORD}\n",
    "auth required {CODE}\n",
    "auth required {CODE}\n",
    "auth requisite {BOTH}\n",
    "auth [success=1 default=ignore] pam_access.so line=0\n",
]


def role_line(choice: Choice) -> str:
    """Return a line of a module with a part in a login, or some that go together."""
    number = choice.randint(1, 9)
    if choice.random() < 0.35:
        names = {"PASSWORD": f"{PASSWORD} line={number}", "CODE": f"{CODE} line={number}"}
        names["BOTH"] = f"{BOTH} line={number}"
        return choice.choice(_USUAL).format(**names)
    role = choice.choice(sorted(ROLES))
    words = [choice.choice(["auth", "-auth"]), control(choice, ROLES[role]), role]
    return choice.choice(BLANKS).join([*words, f"line={number}"]) + choice.choice(ENDS)


def results(choice: Choice, *, key: str = "") -> dict[tuple[str, str], str]:
    """Return what each line returns in one login, by its module and its "line=N"."""
    key = key or choice.choice(ROLES[KEY])  # sshd accepted one, or not: all lines say the same
    return {
        (role, f"line={number}"): key if role == KEY else choice.choice(codes)
        for role, codes in ROLES.items()
        for number in range(10)
    }


# The password step of a file, and lines beside it.
STEPS = [
    "auth [success=1 default=ignore] pam_unix.so line=1\nauth requisite pam_deny.so\n"
    "auth required pam_permit.so\n",
    "auth [success=2 default=ignore] pam_unix.so line=1\n"
    "auth [success=1 default=ignore] pam_sss.so line=2\nauth requisite pam_deny.so\n"
    "auth required pam_permit.so\n",
    "auth sufficient pam_unix.so line=1\nauth sufficient pam_sss.so line=2\n"
    "auth required pam_deny.so\n",
    "auth [success=done new_authtok_reqd=done default=ignore] pam_unix.so line=1\n"
    "auth required pam_deny.so\n",
    "auth [user_unknown=ignore default=done] pam_unix.so line=1\n"
    "auth requisite pam_sss.so line=2\n",
    "auth required pam_unix.so line=1\n",
    "auth requisite pam_unix.so line=1\n",
]
BESIDE = [
    "",
    "",
    "auth required pam_access.so line=3\n",
    "auth optional pam_access.so line=4\n",
    "-auth optional pam_there_is_none.so line=1\n",
    "auth [success=1 default=ignore] pam_access.so line=5\n",
    "auth [default=1 success=ignore] pam_access.so line=6\n",
    "auth optional pam_faildelay.so line=1\n",
    "auth [success=ok default=1] pam_access.so line=7\n",
]


def to_be_enabled(choice: Choice) -> dict[str, str]:
    """Return sshd's file with a password step that enable may know how to go on from."""
    step, form = choice.choice(STEPS), choice.choice(["", "include", "substack"])
    part = f"auth {form} part0\n" if form else step
    before, after = ("".join(choice.choices(BESIDE, k=2)) for _ in range(2))
    return {
        "sshd": before + part + after,
        "part0": step,
        "other": "auth required pam_deny.so\n",
    }
