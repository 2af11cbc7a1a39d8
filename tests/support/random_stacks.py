"""Random PAM files: the dispatcher, the judge and what enable writes, beside libpam.

How many are tried stands in STACKS; ``tests/run nightly`` sets it to more.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from hypothesis import strategies as st

STACKS = int(os.environ.get("PAM_TOTP_STACKS", "1000"))
CODES = ["success", "auth_err", "ignore", "new_authtok_reqd", "user_unknown", "perm_denied"]
WORDS = ["required", "requisite", "sufficient", "optional", "Required", "SUFFICIENT", "[optional]"]
PARTS = ("part0", "part1", "part2")
MISSING = "pam_there_is_none.so"

# Few lines, so many of these jumps lead beyond the end of the file or of a substack.
ACTIONS = ["ok", "done", "bad", "die", "ignore", "reset", "reset", "1", "2", "3", "4", "9"]
blanks = st.sampled_from([" ", "\t", "   ", " \\\n  "])
ends = st.sampled_from(["\n", " \n", "  # a comment\n", "\n\n# a line\n", "\n\t\n"])


def controls(codes: list[str]) -> st.SearchStrategy[str]:
    """Return words, and brackets that say more often than not what one of ``codes`` leads to."""
    named = st.sampled_from([*codes, *codes, "default", *CODES])
    pairs = st.lists(
        st.builds("{}={}".format, named, st.sampled_from(ACTIONS)), min_size=1, max_size=3
    )
    spaces = st.sampled_from([" ", "\t", "  "])
    brackets = st.builds(lambda found, space: f"[{space.join(found)}]", pairs, spaces)
    return st.one_of(st.sampled_from(WORDS), brackets)


@st.composite
def module_lines(draw: st.DrawFn) -> str:
    """Lines of pam_debug, each with the code that it returns."""
    kind = draw(st.sampled_from(["auth", "AUTH", "-auth", "auth", "auth"]))
    code = draw(st.sampled_from(["success", *CODES]))
    words = [kind, draw(controls([code])), "pam_debug.so", f"auth={code}"]
    if draw(st.integers(0, 14)) == 0:
        words[2:] = [MISSING]
    return draw(blanks).join(words) + draw(ends)


def folders(lines: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """Return a service and what it includes: substacks in substacks, includes among other lines."""
    return st.fixed_dictionaries(
        {
            "service": _files(lines, PARTS),
            "part0": _files(lines, PARTS[1:]),
            "part1": _files(lines, PARTS[2:]),
            "part2": _files(lines, ()),
            "other": st.just("auth required pam_deny.so\n"),
        }
    )


def _files(lines: st.SearchStrategy[str], includes: tuple[str, ...]) -> st.SearchStrategy[str]:
    if includes:
        lines = st.one_of(lines, lines, _include_lines(includes))
    lines = st.one_of(lines, lines, lines, st.just("account required pam_permit.so\n"))
    return st.lists(lines, min_size=1, max_size=6).map("".join)


def _include_lines(parts: tuple[str, ...]) -> st.SearchStrategy[str]:
    forms = ["auth include {}\n", "auth substack {}\n", "@include {}\n", "account include {}\n"]
    return st.builds(str.format, st.sampled_from(forms), st.sampled_from(parts))


def write(folder: Path, texts: dict[str, str]) -> None:
    """Write the files; Debian's libpam looks for included ones in /etc/pam.d, unless by path."""
    for name, text in texts.items():
        for part in PARTS:
            text = text.replace(f" {part}\n", f" {folder / part}\n")
        (folder / name).write_text(text, encoding="utf-8")


# Modules with a part in a login. "line=N" tells them apart: each returns a code of its own.
PASSWORD, OTHER_PASSWORD = "pam_unix.so", "pam_sss.so"
CODE, KEY = "pam_totp.so", "pam_totp.so first_factor=key"
ROLES = {
    PASSWORD: ["success", "success", "auth_err", "user_unknown", "new_authtok_reqd"],
    OTHER_PASSWORD: ["success", "auth_err", "user_unknown"],
    CODE: ["success", "success", "ignore", "auth_err", "perm_denied"],
    KEY: ["success", "ignore"],
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
    "auth [success=1 default=ignore] pam_access.so line=0\n",
]


@st.composite
def role_lines(draw: st.DrawFn) -> str:
    """Lines of modules with a part in a login, and now and then some that go together."""
    number = draw(st.integers(1, 9))
    if draw(st.integers(0, 2)) == 0:
        names = {"PASSWORD": f"{PASSWORD} line={number}", "CODE": f"{CODE} line={number}"}
        return draw(st.sampled_from(_USUAL)).format(**names)
    role = draw(st.sampled_from(sorted(ROLES)))
    words = [draw(st.sampled_from(["auth", "-auth"])), draw(controls(ROLES[role])), role]
    return draw(blanks).join([*words, f"line={number}"]) + draw(ends)


def results(seed: int) -> dict[tuple[str, str], str]:
    """Return what each line returns in one login, by its module and its "line=N"."""
    choice = random.Random(seed)
    key = choice.choice(ROLES[KEY])  # sshd has accepted one, or not: all lines say the same
    return {
        (role, f"line={number}"): key if role == KEY else choice.choice(codes)
        for role, codes in ROLES.items()
        for number in range(10)
    }
