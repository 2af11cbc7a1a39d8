"""libpam's walk through a stack, as pam_dispatch.py has it, beside libpam itself."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admin_cli.switching import pam_file
from pam_totp import pam_dispatch, pam_lines, pam_stack
from pam_totp.pam_dispatch import Stack, State
from tests.support.libpam import log_in
from tests.unit import pam_files
from tests.unit.pam_files import DISTRIBUTIONS, GOLDEN, distribution

CODES = ["success", "auth_err", "ignore", "new_authtok_reqd", "user_unknown", "perm_denied"]
WORDS = ["required", "requisite", "sufficient", "optional", "Required", "SUFFICIENT", "[optional]"]
PARTS = ("part0", "part1", "part2")

actions = st.sampled_from(["ok", "done", "bad", "die", "ignore", "reset", "reset", "1", "2", "3"])
blanks = st.sampled_from([" ", "\t", "   ", " \\\n  "])
ends = st.sampled_from(["\n", " \n", "  # a comment\n", "\n\n# a line\n", "\n\t\n"])


@st.composite
def module_lines(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["auth", "AUTH", "-auth", "auth", "auth"]))
    code = draw(st.sampled_from(["success", *CODES]))
    words = [kind, draw(controls(code)), "pam_debug.so", f"auth={code}"]
    if draw(st.integers(0, 14)) == 0:
        words[2:] = ["pam_there_is_none.so"]
    return draw(blanks).join(words) + draw(ends)


def controls(code: str) -> st.SearchStrategy[str]:
    """Return words, and brackets that say more often than not what ``code`` leads to."""
    codes = st.sampled_from([code, code, "default", *CODES])
    pairs = st.lists(st.builds("{}={}".format, codes, actions), min_size=1, max_size=3)
    spaces = st.sampled_from([" ", "\t", "  "])
    brackets = st.builds(lambda found, space: f"[{space.join(found)}]", pairs, spaces)
    return st.one_of(st.sampled_from(WORDS), brackets)


def include_lines(parts: tuple[str, ...]) -> st.SearchStrategy[str]:
    forms = ["auth include {}\n", "auth substack {}\n", "@include {}\n", "account include {}\n"]
    return st.builds(str.format, st.sampled_from(forms), st.sampled_from(parts))


def files(includes: tuple[str, ...]) -> st.SearchStrategy[str]:
    lines: st.SearchStrategy[str] = module_lines()
    if includes:
        lines = st.one_of(lines, lines, include_lines(includes))
    lines = st.one_of(lines, lines, lines, st.just("account required pam_permit.so\n"))
    return st.lists(lines, min_size=1, max_size=6).map("".join)


folders = st.fixed_dictionaries(
    {
        "service": files(PARTS),
        "part0": files(PARTS[1:]),
        "part1": files(PARTS[2:]),
        "part2": files(()),
        "other": st.just("auth required pam_deny.so\n"),
    }
)


def walk(stack: Stack) -> tuple[bool, list[str]]:
    """Return whether it grants, and what the modules that run return, as their lines say."""
    state, ran = State(), []
    while state.at < len(stack.entries):
        entry = stack.entries[state.at]
        code = "success" if entry.line.module_name == "pam_permit.so" else "auth_err"
        if entry.line.module_name == "pam_debug.so":
            code = "success"
            if entry.line.arguments:
                ran.append(entry.line.arguments[0])
                code = entry.line.arguments[0].partition("=")[2]
        elif entry.line.module_name == "pam_there_is_none.so":
            code = "module_unknown"
        state = pam_dispatch.after(stack.entries, state, code)
    return state.granted, ran


@settings(max_examples=700, deadline=None)
@given(folders)
def test_a_stack_goes_the_way_that_libpam_goes(texts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in texts.items():
            for part in PARTS:
                text = text.replace(f" {part}\n", f" {folder / part}\n")
            (folder / file).write_text(text, encoding="utf-8")

        def read(file: str) -> str | None:
            path = folder / file
            return path.read_text(encoding="utf-8") if path.exists() else None

        login = log_in(folder, "service")
        granted, ran = walk(pam_stack.auth_stack("service", read))
    assert (login.code == 0, login.shown) == (granted, ran)


def test_reset_goes_back_to_where_the_substack_began(tmp_path: Path) -> None:
    """Refused inside, then forgotten; granted before, and still so."""
    part = (
        "auth required pam_debug.so auth=auth_err\nauth [success=reset] pam_debug.so auth=success\n"
    )
    text = f"auth required pam_debug.so auth=success\nauth substack {tmp_path / 'part0'}\n"
    assert (True, True) == both_grant(tmp_path, text, part)


def test_a_jump_beyond_the_end_refuses(tmp_path: Path) -> None:
    text = "auth required pam_debug.so auth=success\nauth [success=1] pam_debug.so auth=success\n"
    assert (False, False) == both_grant(tmp_path, text, "")


def test_a_jump_out_of_a_substack_refuses(tmp_path: Path) -> None:
    part = "auth [success=1] pam_debug.so auth=success\n"
    text = f"auth substack {tmp_path / 'part0'}\n" + 2 * "auth required pam_debug.so\n"
    assert (False, False) == both_grant(tmp_path, text, part)


def both_grant(folder: Path, service: str, part: str) -> tuple[bool, bool]:
    """Return whether libpam grants, and whether this program says so."""
    texts = {"service": service, str(folder / "part0"): part}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    stack = pam_stack.auth_stack("service", texts.get)
    return log_in(folder, "service").code == 0, walk(stack)[0]


def test_every_return_code_has_libpams_number(tmp_path: Path) -> None:
    """pam_debug knows them by the names of a control; libpam returns the one it was given."""
    codes = {}
    for name in pam_lines.RETURN_CODES[1:]:
        (tmp_path / "service").write_text(f"auth [default=die] pam_debug.so auth={name}\n")
        codes[name] = log_in(tmp_path, "service").code
    # PAM_IGNORE and PAM_INCOMPLETE mean something to libpam itself.
    expected = {name: number for number, name in enumerate(pam_lines.RETURN_CODES) if number}
    assert {**expected, "ignore": 6} == codes


# The files of the distributions, with the code in them

KEYED = [(name, "sshd", "code") for name in DISTRIBUTIONS]
WITHOUT_KEY = [(name, service, None) for name in DISTRIBUTIONS for service in ("sudo", "login")]


@pytest.mark.parametrize("code", ["success", "ignore", "auth_err"])
@pytest.mark.parametrize("password", ["success", "auth_err", "user_unknown", "new_authtok_reqd"])
@pytest.mark.parametrize(
    ("name", "service", "keys", "key"),
    [(*case, key) for case in KEYED for key in (True, False)]
    + [(*case, False) for case in WITHOUT_KEY],
)
def test_who_gets_in_by_a_file_with_the_code_gets_in_by_libpam(
    tmp_path: Path, name: str, service: str, keys: str | None, key: bool, password: str, code: str
) -> None:
    """Everybody else stays out, and pam_setcred, which goes the same way, refuses nobody."""
    read = distribution(name)
    text = pam_file.enabled(service, read(service) or "", keys=keys, read=read)
    granted = (key or password == "success") and code != "auth_err"
    changed = distribution(name, **{service: text})
    went = pam_files.log_in(service, changed, password=password, code=code, key=key)
    for path in [path for path in (GOLDEN / name).iterdir() if path.name != service]:
        (tmp_path / path.name).write_text(debugged(path.read_text(), password, code, key, tmp_path))
    (tmp_path / service).write_text(debugged(text, password, code, key, tmp_path))
    login = log_in(tmp_path, service)
    assert (granted, granted) == (went.granted, login.code == 0)
    assert login.setcred == (0 if granted else None)


def debugged(text: str, password: str, code: str, key: bool, folder: Path) -> str:
    """Return a PAM file with pam_debug for its modules, and the paths of what it includes."""

    def result(found: re.Match[str]) -> str:
        module, argument = found["module"], found["argument"] or ""
        if module in ("pam_permit.so", "pam_deny.so"):
            return found[0]
        returned = pam_files.ORDINARY.get(module) or pam_files.FAILLOCK.get(argument, password)
        if module == "pam_totp.so":
            returned = code
            if argument == "first_factor=key":
                returned = "success" if key else "ignore"
        # As pam_totp does: a skip has nothing to set, but for the line that jumps.
        skipped = module == "pam_totp.so" and not argument and code == "ignore"
        cred = "ignore" if skipped else "success"
        return f"pam_debug.so auth={returned} cred={cred}"

    text = re.sub(r"(?P<module>\bpam_\w+\.so)(?:[ \t]+(?P<argument>[\w=]+))?", result, text)
    included = re.compile(r"^(@include|auth\s+(?:include|substack))\s+(\S+)", flags=re.M)
    return included.sub(rf"\1 {folder}/\2", text)
