"""What doctor finds on a machine of a fleet beside its store: certificates, clock, cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from admin_cli.doctor import facts as facts_module
from admin_cli.doctor import fleet as checks
from admin_cli.doctor.facts import Facts
from admin_cli.doctor.finding import Check
from admin_cli.session import Session
from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE
from pam_totp.system import fleet_file
from tests.support import fleet
from tests.support.place import Place
from tests.support.postgres import Database

DAY = 86400
CERTIFICATES = (checks.certificate, checks.certificate_ends)
CLOCKS = (checks.clock, checks.clock_off)


def made(path: Path, days: int) -> str:
    """Make a certificate that is good for so many days from now on."""
    command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    options = ("-noenc", "-keyout", "/dev/null", "-subj", "/CN=x", "-days", str(days))
    subprocess.run([*command, *options, "-out", path], check=True, capture_output=True)
    path.chmod(0o644)
    return str(path)


def facts_of(place: Place) -> Facts:
    return Facts(Session(str(place.config_path)))


def found(facts: Facts, *looked: Check) -> list[tuple[str, str]]:
    return [(f.check, f.problem) for check in looked for f in check.findings(facts)]


@pytest.mark.parametrize("which", ["ca", "certificate"])
@pytest.mark.parametrize("of", ["fleet_host", "fleet_admin"])
def test_a_certificate_is_found_a_month_before_it_expires_and_when_it_has(
    fleet_host: Place, which: str, of: str
) -> None:
    path = made(fleet_host.folder / "own.pem", 40)
    file = fleet_host.folder / f"pam_totp.{of.replace('_', '-').replace('-host', '')}"
    identity = fleet_file.Identity("web1", bytes(32), "totp_login")._replace(**{which: path})
    file.write_bytes(fleet_file.content(identity))
    file.chmod(0o600)
    facts = facts_of(fleet_host)
    assert [] == found(facts, *CERTIFICATES)
    facts.now += 11 * DAY
    ((check, problem),) = found(facts, *CERTIFICATES)
    assert "fleet-certificate-ends" == check
    assert problem.startswith(f"{path}: the certificate expires on 2")
    facts.now += 30 * DAY
    ((check, problem),) = found(facts, *CERTIFICATES)
    assert "fleet-certificate" == check
    assert problem.startswith(f"{path}: the certificate expired on 2")


def test_of_several_cas_the_one_that_is_good_for_longest_counts(fleet_host: Place) -> None:
    both = fleet_host.folder / "both.pem"
    parts = [Path(made(fleet_host.folder / f"{days}.pem", days)) for days in (100, 10)]
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    both.chmod(0o644)
    file = fleet_host.folder / "pam_totp.fleet"
    file.write_bytes(fleet_file.content(fleet_file.Identity("web1", bytes(32), ca=str(both))))
    file.chmod(0o600)
    assert [] == found(facts_of(fleet_host), *CERTIFICATES)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"\x17\x0d491231235959Z", 2524607999),
        (b"\x17\x0d500101000000Z", -631152000),
        (b"\x18\x0f20500101000000Z", 2524608000),
    ],
)
@pytest.mark.parametrize("version", [b"", b"\xa0\x03\x02\x01\x02"])
def test_both_ways_of_writing_a_time_are_read(said: bytes, expected: int, version: bytes) -> None:
    def sequence(content: bytes) -> bytes:
        return bytes((0x30, len(content))) + content

    fields = version + b"\x02\x01\x01" + sequence(b"") * 2 + sequence(b"\x17\x00" + said)
    assert expected == checks.not_after(sequence(sequence(fields)))


@pytest.mark.parametrize("cut", [b"", b"\x30", b"\x30\x05\x30", b"\x30\x02\x30\x00", b"\x30\x82"])
def test_what_is_no_certificate_is_told_apart(cut: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        checks.not_after(cut)


@pytest.mark.parametrize(
    ("ahead", "check", "problem"),
    [
        (2, "", ""),
        (5, "fleet-clock-off", "5 s ahead of"),
        (-5, "fleet-clock-off", "5 s behind"),
        (15, "fleet-clock-off", "15 s ahead of"),
        (17, "fleet-clock", "17 s ahead of"),
        (-600, "fleet-clock", "600 s behind"),
    ],
)
def test_the_clock_of_a_host_is_compared_with_the_database(
    fleet_host: Place,
    fleet_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    ahead: int,
    check: str,
    problem: str,
) -> None:
    fleet.host_file(fleet_database, fleet_host.folder)
    ((now,),) = fleet_database.execute("SELECT totp.unix_time()")

    class Clock:
        @staticmethod
        def time() -> float:
            return now + ahead

    facts = facts_of(fleet_host)
    fleet_database.stop_clock(now)
    monkeypatch.setattr(facts_module, "time", Clock)
    asked: list[object] = []
    ask = facts_module.recorded.ask_as_host
    monkeypatch.setattr(
        facts_module.recorded, "ask_as_host", lambda *given: asked.append(given) or ask(*given)
    )
    seen = found(facts, *CLOCKS)
    assert 1 == len(asked), "one question does for all checks"
    assert ([check] if check else []) == [name for name, _ in seen]
    assert all(f"the clock of this host is {problem} the database's" == said for _, said in seen)


def test_a_host_without_its_database_says_nothing_of_its_clock(fleet_host: Place) -> None:
    assert [] == found(facts_of(fleet_host), *CLOCKS)


@pytest.mark.parametrize(
    ("modules", "offline", "expected"),
    [
        ({PAM_PYTHON_MODULE}, "cache", ["fleet-cache"]),
        ({PAM_PYTHON_MODULE}, "deny", []),
        ({PAM_PYTHON_MODULE, NATIVE_MODULE}, "cache", []),
        (set(), "cache", []),
    ],
)
def test_a_cache_that_nobody_fills_is_found(
    fleet_host: Place,
    monkeypatch: pytest.MonkeyPatch,
    modules: set[str],
    offline: str,
    expected: list[str],
) -> None:
    text = fleet_host.config_path.read_text("utf-8")
    fleet_host.config_path.write_text(f"{text}offline = {offline}\n")
    monkeypatch.setattr(Facts, "modules", modules)
    assert expected == [check for check, _ in found(facts_of(fleet_host), checks.cache)]
