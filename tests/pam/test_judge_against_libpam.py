"""libpam's walk through a stack, as pam_dispatch.py has it, beside libpam itself."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from admin_cli.host import pam_blocks, pam_file
from pam_totp.stack import pam_dispatch, pam_lines, pam_stack, pam_ways
from pam_totp.stack.pam_dispatch import Entry, Stack, State
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.stack.pam_stack import Judgement, judge
from tests.support import random_stacks
from tests.support.libpam import log_in
from tests.unit import pam_files
from tests.unit.pam_files import DISTRIBUTIONS, GOLDEN, distribution


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
        state = pam_dispatch.next_state(stack.entries, state, code)
    return state.granted, ran


def test_a_stack_goes_the_way_that_libpam_goes() -> None:
    for number, choice in random_stacks.choices():
        texts = random_stacks.folder(choice, random_stacks.debug_line)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            random_stacks.write(folder, texts)
            login = log_in(folder, "service")
            granted, ran = walk(pam_stack.auth_stack("service", reader(folder)))
        assert (login.code == 0, login.shown) == (granted, ran), (number, texts)


def reader(folder: Path) -> pam_stack.Read:
    def read(file: str) -> str | None:
        path = folder / file
        return path.read_text(encoding="utf-8") if path.exists() else None

    return read


# What the judge says of a stack, beside one login on it by libpam

_ROLE = re.compile(
    r"(?P<module>pam_\w+\.so)(?P<first>\s+first_factor=(?P<factor>\w+))?(?:\s|\\\n)+(?P<number>line=\d)"
)


class Seen(NamedTuple):
    """One login by libpam: whether it was granted, and which lines ran and returned what."""

    granted: bool
    ran: list[tuple[Entry, str]]

    @property
    def code(self) -> str:
        """The best that a line with the code returned: "success", "ignore" or nothing."""
        codes = {code for entry, code in self.ran if pam_ways.asks_for_a_code(entry.line)}
        return next((code for code in ("success", "ignore") if code in codes), "")

    def proven(self, before: int | None = None) -> bool:
        """Whether a password or a key was right, of all or ``before`` a line of ``ran``."""
        return any(
            code in ("success", "new_authtok_reqd")
            and (entry.line.module_name in PASSWORDS or pam_ways.is_key_line(entry.line))
            for entry, code in self.ran[:before]
        )

    @property
    def refused_by_a_factor(self) -> bool:
        """Whether a password module or the code did; an expired password lets nobody in either."""
        ours = [*PASSWORDS, random_stacks.CODE]
        good = ("success", "ignore")
        return any(e.line.module_name in ours and code not in good for e, code in self.ran)

    @property
    def jumped_beyond_the_end(self) -> bool:
        """Whether libpam denied though a module granted and none refused: only that can do it."""
        done = [(entry.actions[code], code) for entry, code in self.ran]
        harmless = all(
            isinstance(action, int) or action == "ignore" or (action == "ok" and code == "success")
            for action, code in done
        )
        return not self.granted and harmless and ("ok", "success") in done


PASSWORDS = (random_stacks.PASSWORD, random_stacks.OTHER_PASSWORD)


def seen(texts: dict[str, str], returned: dict[tuple[str, str], str]) -> tuple[Stack, Seen]:
    """Log in by libpam, each module returning what ``returned`` says."""

    def in_debug(found: re.Match[str]) -> str:
        module = found["module"] + (f" first_factor={found['factor']}" if found["first"] else "")
        if module in ("pam_permit.so", "pam_deny.so", random_stacks.MISSING):
            return found[0]
        return f"pam_debug.so auth={returned[module, found['number']]}"

    with tempfile.TemporaryDirectory() as real, tempfile.TemporaryDirectory() as debug:
        random_stacks.write(Path(real), texts)
        stack = pam_stack.auth_stack("sshd", reader(Path(real)))
        random_stacks.write(
            Path(debug), {name: _ROLE.sub(in_debug, text) for name, text in texts.items()}
        )
        login = log_in(Path(debug), "sshd")
    state, ran = State(), []
    while state.at < len(stack.entries):
        entry, code = stack.entries[state.at], "success"
        if not entry.begins_substack:
            code = code_of(entry, returned)
            ran.append((entry, code))
        state = pam_dispatch.next_state(stack.entries, state, code)
    silent = ("pam_permit.so", "pam_deny.so", random_stacks.MISSING)
    shown = [f"auth={code}" for entry, code in ran if entry.line.module_name not in silent]
    assert (login.code == 0, login.shown) == (state.granted, shown)
    return stack, Seen(login.code == 0, ran)


def code_of(entry: Entry, returned: dict[tuple[str, str], str]) -> str:
    line = entry.line
    module = random_stacks.KEY if pam_ways.is_key_line(line) else line.module
    module = random_stacks.BOTH if pam_ways.takes_both(line) else module
    number = line.arguments[-1] if line.arguments else "line=0"
    return returned[module, number]


def test_the_judge_trusts_no_more_than_libpam_and_calls_nothing_dead_that_lets_people_in() -> None:
    for number, choice in random_stacks.choices():
        texts = random_stacks.folder(choice, random_stacks.role_line)
        texts["sshd"] = texts.pop("service")
        key_first = choice.random() < 0.3
        returned = random_stacks.results(choice, key="success" if key_first else "")
        stack, login = seen(texts, returned)
        found = judge(stack, key=key_first)
        assert [] == mistakes(stack, login, found, key_first=key_first), (number, texts)


def mistakes(stack: Stack, login: Seen, found: Judgement, *, key_first: bool) -> list[str]:
    """Return what the login shows, and the judge has not found."""
    proven = key_first or login.proven()
    lines = [entry.line for entry in stack.entries if not entry.begins_substack]
    asks = any(map(pam_ways.asks_for_a_code, lines))
    by_key = any(map(pam_ways.is_key_line, lines))
    by_both = any(map(pam_ways.takes_both, lines))
    unproven = [
        entry.line
        for at, (entry, _) in enumerate(login.ran)
        if pam_ways.asks_for_a_code(entry.line) and not (key_first or login.proven(before=at))
    ]
    named = (*found.before_password, *found.after_wrong_password)
    jumped = login.jumped_beyond_the_end and not login.refused_by_a_factor
    granted, code = login.granted, login.code
    shown = {
        "calls dead what lets in": granted
        and found.nobody_gets_in
        and code != "ignore"
        and not found.too_late,
        "no bypass": granted and (asks or by_both) and not code and not found.bypasses,
        "no bypass by a key line": granted and not asks and by_key and not found.key_lines_alone,
        "no code alone": granted and code and not proven and not found.without_password,
        "denies the code": granted
        and code == "success"
        and proven
        and not (found.can_succeed or found.too_late),
        "denies the exempt": granted and code == "ignore" and proven and not found.lets_exempt_in,
        "no code without a password": not set(unproven) <= set(named),
        "no jump beyond the end": jumped and not found.bad_jumps,
    }
    return [mistake for mistake, made in shown.items() if made]


def test_enable_lets_in_with_the_code_whom_the_file_let_in_and_nobody_else() -> None:
    enabled = 0
    for number, choice in random_stacks.choices(share=2):
        texts = random_stacks.to_be_enabled(choice)
        try:
            text = pam_file.enabled("sshd", texts["sshd"], keys=None, read=texts.get)
        except NotUnderstood:
            continue
        enabled += 1
        returned = random_stacks.results(choice)
        _, old = seen(texts, returned)
        # Our line has no number: what it returns is that of line 0.
        code = returned[random_stacks.CODE, "line=0"]
        after = {**texts, "sshd": text.replace(pam_blocks.CODE, f"{pam_blocks.CODE} line=0")}
        _, new = seen(after, returned)
        in_by_code = old.granted and code in ("success", "ignore")
        # A line after a "sufficient" is reached for the first time, and may refuse.
        late = {e.line.arguments for e, code in new.ran if code not in ("success", "ignore")}
        late -= {entry.line.arguments for entry, _ in old.ran}
        assert in_by_code == new.granted or (in_by_code and late), (number, texts)
    assert enabled >= random_stacks.STACKS // 40


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


@pytest.mark.parametrize(
    "line",
    [
        "auth required] pam_debug.so auth=success\n",
        "auth [success=ok\\]] pam_debug.so auth=success\n",
        "auth [[required\\]] pam_debug.so auth=success\n",
        *(f"auth optional {module}\n" for module in ("/lib/security/", "a/", ".so", "?.so")),
        "account optional a/\n",
    ],
)
def test_a_line_that_makes_libpam_deny_everybody_is_not_understood(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "service").write_text(f"{line}auth required pam_permit.so\n", encoding="utf-8")
    (tmp_path / "other").write_text("auth required pam_permit.so\n", encoding="utf-8")
    assert 0 != log_in(tmp_path, "service").code
    with pytest.raises(NotUnderstood):
        pam_stack.auth_stack("service", reader(tmp_path))


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
