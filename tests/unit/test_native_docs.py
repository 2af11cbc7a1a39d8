"""The pages about pam_totp.so and its worker agree with both sides of the code."""

from __future__ import annotations

import re

import pytest

from pam_totp.login import flow
from pam_totp.service import connection, crowd, kept, loop, program, prompts, server, wire, worker
from tests.support.place import ROOT
from tests.unit.pages import codes, first_column, man_items, man_section, read, rows, section

PROTOCOL = read("docs/internals/protocol.md")
FILES = section(read("docs/reference/installation.md"), "## Files")
SOURCES = {path.name: path for path in (ROOT / "pam_totp" / "native").glob("*.[ch]")}
UNITS = {path.name: path for path in (ROOT / "packaging" / "systemd").iterdir()}


def in_c(name: str) -> set[int]:
    """Return the values that an enum or a #define of the module gives to ``name``."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES.values())
    found = re.findall(rf"\b{name} = (0x[0-9A-F]+|\d+)|#define {name} (\d+)", text)
    return {int(first or second, 0) for first, second in found}


def in_python(name: str) -> set[float]:
    modules = (wire, worker, connection, crowd, loop, server, prompts, kept)
    return {float(getattr(module, name)) for module in modules if hasattr(module, name)}


def packets_of_the_example() -> dict[str, bytes]:
    """Return the packets that stand in hex, each under its name; two blanks end the hex."""
    packets: dict[str, bytes] = {}
    example = re.findall(r"```hex\n(.*?)```", section(PROTOCOL, "## A conversation"), flags=re.S)[0]
    name = ""
    for line in example.splitlines():
        name = line.split(" ")[0] or name
        digits = line.removeprefix(name).strip().split("  ")[0]
        packets[name] = packets.get(name, b"") + bytes.fromhex(digits)
    return packets


def test_both_sides_and_the_page_are_of_one_version() -> None:
    assert {wire.VERSION} == in_c("VERSION")
    assert f"| 1 | version, {wire.VERSION} |" in PROTOCOL


def test_packets_have_the_numbers_of_both_sides() -> None:
    packets = section(PROTOCOL, "## Packets").split("\n### ")[0]
    table = {codes(row[0])[0]: int(row[1]) for row in rows(packets) if len(row) == 4}
    assert list(table) == ["REQUEST", "ANSWER", "MESSAGE", "ASK_BOTH", "RESULT", "REFUSED"]
    for name, number in table.items():
        assert in_python(name) == in_c(name) == {number}, name


def test_kinds_of_an_answer_have_the_numbers_of_both_sides() -> None:
    table = {codes(row[0])[0]: int(row[1]) for row in rows(section(PROTOCOL, "### ANSWER"))}
    assert list(table) == ["TEXT", "NONE", "PASSWORD", "FAILED", "KEPT", "NO_CODE"]
    for name, number in table.items():
        assert in_python(name) == in_c(name) == {number}, name


@pytest.mark.parametrize("flag", ["PASSWORD_GIVEN", "ANSWER_KEPT"])
def test_flags_of_the_module_are_those_of_both_sides_and_of_the_page(flag: str) -> None:
    assert in_python(flag) == in_c(flag)
    in_hex = int(getattr(wire, flag)).to_bytes(4, "big").hex(" ")
    assert f"`{flag}`, `{in_hex}`," in section(PROTOCOL, "### REQUEST")


def test_fields_of_a_request_stand_in_their_order() -> None:
    named = [code for row in rows(section(PROTOCOL, "### REQUEST")) for code in codes(row[1])]
    fields = [name.removeprefix("PAM_").lower() for name in named[1:6]]
    assert fields == list(wire.RequestPacket._fields[1:6])
    items = re.search(r"items\[\] = \{([^}]*)\}", SOURCES["pam_totp.c"].read_text())
    assert items is not None
    assert named[1:6] == items[1].split(", ")
    assert named[6] == "SSH_AUTH_INFO_0"
    assert f"`{wire._ABSENT:x}`".replace("ff", "ff ", 1) in PROTOCOL
    assert {wire._ABSENT} == in_c("ABSENT")


def test_result_takes_the_codes_of_a_login_and_no_other() -> None:
    row = next(row for row in rows(PROTOCOL) if codes(row[0]) == ["RESULT"])
    assert set(map(int, re.findall(r"\b\d+\b", row[3].split("):")[1]))) == flow.CODES
    taken = re.search(r"is_code\(.*?return true", SOURCES["wire.c"].read_text(), flags=re.S)
    assert taken is not None
    assert {getattr(flow, n) for n in re.findall(r"case (PAM_\w+)", taken[0])} == flow.CODES


def test_every_limit_is_the_one_of_the_code() -> None:
    table = rows(section(PROTOCOL, "## Limits"))
    assert len(table) == 29
    for what, number, name in table:
        expected = float(number) + ("less 1" in name)
        assert in_c(codes(name)[0]) | in_python(codes(name)[0]) == {expected}, what


def test_example_is_what_both_sides_would_send() -> None:
    packets = packets_of_the_example()
    request = wire.parse_request(packets["REQUEST"])
    assert request == wire.RequestPacket(
        0x8000, b"alice", b"sudo", None, b"alice", b"/dev/pts/2", None, None, (b"window=0",)
    )
    assert packets["MESSAGE"] == wire.message(1, "Verification code: ")
    assert wire.parse_answer(packets["ANSWER"]) == wire.AnswerPacket(wire.TEXT, b"492039")
    assert packets["RESULT"] == wire.result(flow.PAM_SUCCESS)


@pytest.mark.parametrize("seconds", ["30", "600", "10"])
def test_times_in_the_text_are_those_of_the_table(seconds: str) -> None:
    values = {row[1] for row in rows(section(PROTOCOL, "## Limits"))}
    assert seconds in values
    assert f"{seconds} seconds" in section(PROTOCOL, "## What is not understood")


def test_pages_name_the_arguments_that_a_program_without_root_may_give() -> None:
    harmless = {argument.decode() for argument in worker.HARMLESS_ARGUMENTS}
    who = section(PROTOCOL, "## Permission to ask")
    sentence = re.search(r"Of their arguments (.*?) count", who, flags=re.S)
    of_the_file = re.search(
        r"only (`.*?) count;", read("docs/reference/configuration.md"), flags=re.S
    )
    assert sentence is not None
    assert of_the_file is not None
    assert set(codes(sentence[1])) == set(codes(of_the_file[1])) == harmless
    man = man_section("pam_totp.8", "THE WORKER").split("Of its arguments")[1].split("count.")[0]
    assert set(re.findall(r"^\.Cm ([\w=]+)", man, flags=re.M)) == harmless


# Paths and units

WORKER_SOCKET = "/run/pam_totp/worker.sock"


def test_both_units_of_a_worker_have_one_sandbox() -> None:
    one, other = (
        UNITS[unit].read_text(encoding="utf-8").split("\nCapabilityBoundingSet=")[1]
        for unit in ("pam_totp.service", "pam_totp-worker@.service")
    )
    assert one == other


def test_self_service_has_that_sandbox_but_for_what_tells_from_where_people_came() -> None:
    begin = "\nCapabilityBoundingSet="
    of_logins, own = (
        UNITS[unit].read_text(encoding="utf-8").split(begin)[1].splitlines()
        for unit in ("pam_totp-worker@.service", "pam_totp-me@.service")
    )
    assert ["ProtectProc=invisible"] == [line for line in of_logins if line not in own]
    more = ["BindReadOnlyPaths=-/run/systemd/sessions", "ProtectProc=default"]
    assert more == [line for line in own if line not in of_logins]


def unit_setting(unit: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", UNITS[unit].read_text(encoding="utf-8"), flags=re.M)
    assert found is not None, key
    return found[1]


def test_module_worker_units_and_pages_agree_on_the_paths() -> None:
    header = SOURCES["login.h"].read_text()
    assert f'#define PAM_TOTP_SOCKET "{program.SOCKET}"' in header
    assert unit_setting("pam_totp.socket", "ListenSequentialPacket") == program.SOCKET
    started_by = re.search(r'#define PAM_TOTP_WORKER "(.*)"', header)
    assert started_by is not None
    assert unit_setting("pam_totp.service", "ExecStart").split() == [started_by[1], "--activated"]
    assert f'#define PAM_TOTP_WORKER_SOCKET "{WORKER_SOCKET}"' in header
    assert unit_setting("pam_totp-worker.socket", "ListenSequentialPacket") == WORKER_SOCKET
    started = unit_setting("pam_totp-worker@.service", "ExecStart")
    assert started.split() == [started_by[1], "--accepted", str(program.INHERITED)]
    listed = first_column(FILES)
    man = man_items(man_section("pam_totp.8", "FILES"), "Pa")
    for path in (
        program.SOCKET,
        WORKER_SOCKET,
        started_by[1],
        "/usr/lib/<triplet>/security/pam_totp.so",
    ):
        assert path in listed
        assert path in man


def test_reference_lists_every_unit_and_the_mode_of_the_socket() -> None:
    modes = {codes(row[0])[0]: row[1] for row in rows(FILES)}
    for unit in UNITS:
        assert modes[f"/usr/lib/systemd/system/{unit}"] == "0644"
        assert unit in man_section("pam_totp.8", "FILES")
    assert modes[program.SOCKET] == unit_setting("pam_totp.socket", "SocketMode")
    assert modes[WORKER_SOCKET] == unit_setting("pam_totp-worker.socket", "SocketMode")
    assert modes["/run/pam_totp/"] == unit_setting("pam_totp.socket", "DirectoryMode")


def test_files_that_make_installs_are_listed() -> None:
    makefile = read("Makefile")
    listed = " ".join(first_column(FILES))
    for installed in ("pam_totp.so", "hook.py", "worker", "totpctl", "pam_totp.conf"):
        assert installed in makefile
        assert installed in FILES, installed
    assert "UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system" in makefile
    assert "/usr/lib/systemd/system/" in listed


def test_described_ways_to_start_the_worker_are_those_that_it_knows() -> None:
    ways = set(re.findall(r"--\w+", program._USAGE))
    assert ways == {"--connection", "--accepted", "--me", "--activated", "--listen"}
    table = rows(section(PROTOCOL, "## The socket"))
    assert {way for row in table for way in re.findall(r"--\w+", row[2])} == ways


@pytest.mark.parametrize(
    ("key", "seconds"), [("WatchdogSec", "15"), ("ProtectHome", ""), ("ProtectSystem", "")]
)
def test_explained_settings_of_the_service_are_there(key: str, seconds: str) -> None:
    value = unit_setting("pam_totp.service", key)
    if seconds:
        assert value == seconds
        assert f"after {seconds} seconds" in read("docs/explanation/how-a-login-works.md")
    else:
        assert value == {"ProtectHome": "yes", "ProtectSystem": "strict"}[key]


# Log lines


def reasons_of_the_module() -> set[str]:
    """Return every text that the module gives to report() as a reason, as it is logged."""
    found: set[str] = set()
    for path in SOURCES.values():
        text = path.read_text(encoding="utf-8").replace("%s", program.SOCKET)
        text = re.sub(r'"\s*"', "", text)  # as C joins them
        for call in re.findall(r"\breport\(login,(.*?)\);", text, flags=re.S):
            found.update(re.findall(r'"([^"]*)"', call)[:-1])  # the last one is the hint
        for assignment in re.findall(r"\bproblem = (.*?);", text, flags=re.S):
            found.update(re.findall(r'"([^"]*)"', assignment))
    return found


def reasons_of_the_worker() -> set[str]:
    """Return what the worker logs as a reason, up to what it fills in."""
    text = read("pam_totp/service/worker.py")
    found = {f"peer: {problem}" for problem in re.findall(r'Refused\("peer", "([^"]+)"', text)}
    for name in ("worker", "crowd", "loop", "server"):
        text = read(f"pam_totp/service/{name}.py")
        found.update(re.findall(r'\blog_of\([\w.]+, f?"([^"{]+)', text))
        found.update(re.findall(r'\blog_error\(f"([^"{]+)', text))
        found.update(re.findall(r'\breason = "([^"]+)"', text))
        found.update(re.findall(r'Unavailable\("service", "([^"]+)"', text))
    found.update(re.findall(r'\breturn "([^"]+)"', read("pam_totp/service/crowd.py")))
    left = re.search(
        r'CannotLeave\(\s*"(.+)",\s*f"([^{]+)', read("pam_totp/service/control_group.py")
    )
    sandbox = read("pam_totp/service/sandbox.py")
    shut_off = re.findall(r'ShutOff\(\s*([\w."]+),\s*f?"([^"{]+)', sandbox)
    assert left is not None
    assert len(shut_off) == 7
    subjects = [what.strip('"') if '"' in what else "/srv" for what, _ in shut_off]
    found |= {f"{what}: {problem}" for what, (_, problem) in zip(subjects, shut_off, strict=True)}
    return found | {f"{left[1]}: {left[2]}"}


def test_way_back_explains_every_reason_of_a_failed_worker() -> None:
    explained = " ".join(row[0] for row in rows(read("docs/howto/locked-out.md")))
    patterns = [
        ".*".join(re.escape(part) for part in text.split("…"))
        for text in re.findall(r'"([^"`]+)"', explained)
    ]
    reasons = reasons_of_the_module() | reasons_of_the_worker()
    assert len(reasons) > 25
    assert [r for r in sorted(reasons) if not any(re.search(p, r) for p in patterns)] == []


def test_way_back_shows_no_reason_that_nobody_gives() -> None:
    table = rows(section(read("docs/howto/locked-out.md"), "## No worker answers"))
    logged = "\n".join(reasons_of_the_module() | reasons_of_the_worker())
    logged += "\npacket: is of version "
    for text in (text for row in table for text in re.findall(r'"([^"`]+)"', row[0])):
        assert re.search(".*".join(map(re.escape, text.split("…"))), logged), text
