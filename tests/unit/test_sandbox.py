"""What a worker in a sandbox leaves to one that sees the machine as it is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.login import membership
from pam_totp.service import sandbox, wire, worker
from pam_totp.system import disks
from tests.native import worker_side as side
from tests.support.place import ROOT, Place

# mount, its parent, device, what it shows, where
LINE = "36 35 98:0 {shown} {at} rw,noatime master:1 - ext4 /dev/root rw\n"
READ_ONLY = "36 35 98:0 / {at} {mount},noatime master:1 - ext4 /dev/root {file_system},errors=x\n"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_roots", None)
    monkeypatch.setattr(sandbox, "_looked_at", 0.0)
    monkeypatch.setattr(sandbox, "_named", None)


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """nsswitch.conf of a machine that has neither nscd nor nslcd."""
    path = tmp_path / "nsswitch.conf"
    monkeypatch.setattr(membership, "SWITCH_FILE", str(path))
    for name in ("_NSLCD", "_NSCD_SOCKET", "_NSCD_FILE"):
        monkeypatch.setattr(sandbox, name, str(tmp_path / name))
    monkeypatch.delenv(sandbox.BOUND_SERVICES, raising=False)
    return path


@pytest.fixture
def nscd(tmp_path: Path) -> Iterator[Path]:
    """A socket where nscd's is; its nscd.conf is still to be written."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "_NSCD_SOCKET"))
        listener.listen()
        yield tmp_path / "_NSCD_FILE"


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of these tests are of another file system than what the sandbox shows."""
    monkeypatch.setattr(sandbox, "_SHOWN", "/proc")


def arguments(place: Place) -> list[str]:
    return [f"config={place.config_path}"]


def test_files_that_are_there_are_no_reason(place: Place) -> None:
    sandbox.check_files(arguments(place))


@pytest.mark.usefixtures("hidden")
@pytest.mark.parametrize("which", ["config_path", "key_path", "store_path"])
def test_file_that_something_hides_is_left_to_another_worker(place: Place, which: str) -> None:
    path: Path = getattr(place, which)
    (path.parent if which == "store_path" else path).rename(f"{place.folder}.gone")
    with pytest.raises(sandbox.ShutOff, match="is not there in the sandbox"):
        sandbox.check_files(arguments(place))


def test_file_that_is_nowhere_is_left_to_the_login(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is missing, at once."""
    monkeypatch.setattr(sandbox, "_SHOWN", str(place.folder))
    place.key_path.unlink()
    sandbox.check_files(arguments(place))


@pytest.mark.parametrize("now", ["/store.old", "/store//deleted", "/"])
def test_folder_that_was_moved_is_left_to_another_worker(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, now: str
) -> None:
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(disks, "_MOUNTS", str(mounts))
    at = os.path.dirname(place.store_path)
    mounts.write_text(LINE.format(shown="/", at="/") + LINE.format(shown="/store", at=at))
    sandbox.remember()
    sandbox.check_files(arguments(place))
    mounts.write_text(LINE.format(shown="/", at="/") + LINE.format(shown=now, at=at))
    sandbox.check_files(arguments(place))  # looked at a moment ago
    monkeypatch.setattr(sandbox, "_looked_at", 0.0)
    for _ in range(2):
        with pytest.raises(sandbox.ShutOff, match="was moved or replaced"):
            sandbox.check_files(arguments(place))


def test_mounts_that_cannot_be_read_stop_no_service(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_MOUNTS", "/no/such/file")
    sandbox.remember()
    sandbox.check_files(arguments(place))


def test_path_from_nowhere_is_left_to_the_login() -> None:
    sandbox.check_files(["config=no/such/file"])


@pytest.mark.parametrize(
    ("file_system", "problem"),
    [("ro", "is on a file system that is read-only"), ("rw", "is read-only in the sandbox")],
)
def test_file_system_that_is_read_only_is_not_taken_for_the_sandbox(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    file_system: str,
    problem: str,
) -> None:
    """errors=remount-ro: no drop-in would help."""
    folder = os.path.dirname(place.store_path)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        LINE.format(shown="/", at="/")
        + READ_ONLY.format(at=os.path.realpath(folder), mount="ro", file_system=file_system)
    )
    monkeypatch.setattr(disks, "_MOUNTS", str(mounts))
    flags = os.ST_RDONLY
    facts = os.statvfs_result((4096, 4096, 9, 9, 9, 9, 9, 9, flags, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: facts)
    with pytest.raises(sandbox.ShutOff, match=problem) as caught:
        sandbox.check_files(arguments(place))
    assert (file_system == "rw") == ("BindPaths=" in caught.value.hint)


KNOWN = [
    "",
    "passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\n",
    "passwd:compat\ngroup:\tcompat # centrifydc\n# passwd: vas4\n",
    "passwd: db files\ngroup: db [!NOTFOUND=return UNAVAIL=continue] files\n",
    "passwd: sss files extrausers winbind cache\ngroup: files altfiles\n",
    "passwd: files\nhosts: files mdns4_minimal [NOTFOUND=return] dns\nnetgroup: nis\n",
]
HIDDEN = [
    ("passwd: files centrifydc\ngroup: files\n", "centrifydc"),
    ("passwd: files\ngroup: files vas4\n", "vas4"),
    ("passwd: files [NOTFOUND=continue]lsass [UNAVAIL=return]\n", "lsass"),
    ("passwd: compat\npasswd_compat: nis\ngroup: compat\n", "nis"),
    ("  passwd : files ldap # of libnss-ldap\n", "ldap"),
]


@pytest.mark.parametrize("text", KNOWN)
def test_name_services_that_the_units_are_made_for_are_no_reason(switch: Path, text: str) -> None:
    switch.write_text(text)
    sandbox.check_name_services()


def test_without_nsswitch_conf_there_are_files_alone(switch: Path) -> None:
    assert not switch.exists()
    sandbox.check_name_services()


@pytest.mark.parametrize(("text", "name"), HIDDEN)
def test_other_name_service_is_left_to_another_worker(switch: Path, text: str, name: str) -> None:
    switch.write_text(text)
    for _ in range(2):
        with pytest.raises(sandbox.ShutOff, match=rf"in the sandbox: {name}$") as caught:
            sandbox.check_name_services()
        assert f"{sandbox.BOUND_SERVICES}={name}" in caught.value.hint


def test_nsswitch_conf_is_read_once_for_each_change(
    switch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.write_text("passwd: files\n")
    sandbox.check_name_services()
    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", lambda *_, **__: pytest.fail("it was read again"))
        sandbox.check_name_services()
    switch.write_text("passwd: files lsass\n")
    with pytest.raises(sandbox.ShutOff):
        sandbox.check_name_services()


def test_name_service_that_a_drop_in_names_is_no_reason(
    switch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.write_text("passwd: files vas4 lsass\n")
    monkeypatch.setenv(sandbox.BOUND_SERVICES, "vas4")
    with pytest.raises(sandbox.ShutOff, match=r"sandbox: lsass$"):
        sandbox.check_name_services()
    monkeypatch.setenv(sandbox.BOUND_SERVICES, "vas4,lsass")
    sandbox.check_name_services()


def test_ldap_of_nslcd_is_no_reason(switch: Path, tmp_path: Path) -> None:
    switch.write_text("passwd: files ldap\n")
    (tmp_path / "_NSLCD").mkdir()
    sandbox.check_name_services()


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("enable-cache\tpasswd\tyes\nenable-cache group yes\n", True),
        ("enable-cache passwd no # sssd\nenable-cache group yes\n", False),
        ("enable-cache passwd yes\n#enable-cache group yes\n", False),
    ],
)
def test_nscd_asks_for_the_sandbox(switch: Path, nscd: Path, text: str, *, answers: bool) -> None:
    switch.write_text("passwd: files nis\n")
    nscd.write_text(text)
    assert ([] if answers else ["nis"]) == sandbox.hidden_name_services("")


def test_nscd_that_has_died_does_not(switch: Path, nscd: Path, tmp_path: Path) -> None:
    switch.write_text("passwd: files nis\n")
    nscd.write_text("enable-cache passwd yes\nenable-cache group yes\n")
    path = tmp_path / "_NSCD_SOCKET"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert ["nis"] == sandbox.hidden_name_services("")


@pytest.mark.parametrize("is_sandboxed", [True, False])
def test_worker_in_the_sandbox_leaves_the_login_to_another(
    switch: Path, place: Place, *, is_sandboxed: bool
) -> None:
    switch.write_text("passwd: files centrifydc\n")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(side.request(arguments=side.of_place(place.config_path)))
        ours.shutdown(socket.SHUT_WR)
        worker.serve(theirs, worker.peer_of(theirs), is_sandboxed=is_sandboxed)
        answer = ours.recv(wire.MAX_PACKET)
    assert is_sandboxed == (b"centrifydc" in answer)


def test_units_show_where_glibc_keeps_its_databases() -> None:
    """nss_db(5): /var/db, but on Debian."""
    for unit in ("pam_totp.service", "pam_totp-worker@.service"):
        text = (ROOT / "packaging" / "systemd" / unit).read_text("utf-8")
        lines = [line for line in text.splitlines() if line.startswith("BindReadOnlyPaths=")]
        assert {"-/var/db", "-/var/lib/misc"} <= set(" ".join(lines).split())
