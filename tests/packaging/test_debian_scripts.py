"""What the maintainer scripts of the Debian package refuse, and what they let happen; no root."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from admin_cli.host import key_only
from pam_totp.store.sqlite import schema
from tests.packaging.debian_package import DEBIAN, NAME, NEXT_STEPS, Scripts, run

KNOWN = len(schema.MIGRATIONS)
PROFILE = """\
# here are the per-package modules (the "Primary" block)
auth\t[success=1 default=ignore]\tpam_unix.so nullok
# and here are more per-package modules (the "Additional" block)
auth\trequired\tpam_totp.so{arguments}
# end of pam-auth-update config
{behind}"""


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def a_store(path: Path, number: int) -> sqlite3.Connection:
    """Make a store of schema ``number``, which only the log beside it knows while this is open."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA user_version = {number}")
    return connection


@pytest.mark.parametrize("script", ["preinst", "postinst", "prerm", "postrm"])
def test_scripts_are_shell_of_every_debian(script: str) -> None:
    done = run("dash", "-n", DEBIAN / f"{NAME}.{script}")
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("action", ["install", "upgrade"])
def test_a_store_of_a_newer_schema_is_not_taken_over(scripts: Scripts, action: str) -> None:
    path = scripts.root / "var/lib/pam_totp/store.db"
    with contextlib.closing(a_store(path, KNOWN + 1)):
        assert bytes(4) == path.read_bytes()[60:64]  # PRAGMA user_version, in the file itself
        done = scripts.run("preinst", action, "9.9")
    assert 1 == done.returncode
    assert f"the store has schema {KNOWN + 1}, and this version knows {KNOWN}" in done.stderr


def test_newer_store_where_the_configuration_has_it_is_found(scripts: Scripts) -> None:
    path = scripts.root / "elsewhere.db"
    a_store(path, KNOWN + 1).close()
    config = scripts.root / "etc/security/pam_totp.conf"
    config.write_text(f"# store = /no\nwindow = 1\n  store =  sqlite:{path}  \n", encoding="utf-8")
    assert 1 == scripts.run("preinst", "upgrade", "9.9").returncode


@pytest.mark.parametrize("name", ['"/srv/x"', "/srv/x # a note", "srv/x.db", "postgresql:/x"])
def test_name_that_is_no_good_does_not_hide_the_store_that_is_used(
    scripts: Scripts, name: str
) -> None:
    a_store(scripts.root / "var/lib/pam_totp/store.db", KNOWN + 1).close()
    config = scripts.root / "etc/security/pam_totp.conf"
    config.write_text(f"store = {name}\n", encoding="utf-8")
    assert 1 == scripts.run("preinst", "upgrade", "9.9").returncode


@pytest.mark.parametrize("content", [None, b"", b"no database", KNOWN, KNOWN - 1])
def test_any_other_store_is_left_to_init(scripts: Scripts, content: bytes | int | None) -> None:
    path = scripts.root / "var/lib/pam_totp/store.db"
    if isinstance(content, int):
        a_store(path, content).close()
    elif content is not None:
        path.write_bytes(content)
    done = scripts.run("preinst", "upgrade", "0.0")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_removal_is_refused_while_a_change_waits(scripts: Scripts) -> None:
    (scripts.root / "etc/pam.d/.pam_totp-unconfirmed.json").write_text("{}", encoding="utf-8")
    done = scripts.run("prerm", "remove")
    assert 1 == done.returncode
    assert "a change waits for its confirmation" in done.stderr
    assert [] == scripts.calls()


@pytest.mark.parametrize("action", ["upgrade", "deconfigure", "failed-upgrade"])
def test_nothing_else_is_refused(scripts: Scripts, action: str) -> None:
    scripts.pam_file("su", "auth required pam_totp.so\n")
    (scripts.root / "etc/pam.d/.pam_totp-unconfirmed.json").write_text("{}", encoding="utf-8")
    done = scripts.run("prerm", action, "9.9")
    assert (0, "") == (done.returncode, done.stderr)


def test_profile_is_taken_out_the_standard_way(scripts: Scripts) -> None:
    path = scripts.pam_file("common-auth", PROFILE.format(arguments=" ", behind=""))
    scripts.program("pam-auth-update", f'echo "$@" >>{scripts.said}; : >{path}')
    done = scripts.run("prerm", "remove")
    assert (0, "") == (done.returncode, done.stderr)
    assert ["--package --remove totp"] == scripts.calls()


@pytest.mark.parametrize(
    ("arguments", "behind"), [(" window=0", ""), ("", "auth required pam_totp.so\n")]
)
def test_line_that_is_not_the_profiles_is_not_taken_out(
    scripts: Scripts, arguments: str, behind: str
) -> None:
    scripts.pam_file("common-auth", PROFILE.format(arguments=arguments, behind=behind))
    assert 1 == scripts.run("prerm", "remove").returncode
    assert [] == scripts.calls()


def test_profile_that_stays_in_place_keeps_the_package(scripts: Scripts) -> None:
    """pam-auth-update does not touch files that somebody has edited."""
    scripts.pam_file("common-auth", PROFILE.format(arguments="", behind=""))
    done = scripts.run("prerm", "remove")
    assert 1 == done.returncode
    assert "common-auth" in done.stderr


def test_failing_init_is_told_and_leaves_the_package_configured(scripts: Scripts) -> None:
    scripts.program("totpctl", "exit 5")
    done = scripts.run("postinst", "configure", "")
    assert 0 == done.returncode
    assert "hint: nobody can log in with a code until they are" in done.stderr
    assert ["pam-auth-update --package"] == scripts.calls()


def test_old_bytecode_is_gone_when_the_new_is_made(scripts: Scripts) -> None:
    cache = scripts.root / "usr/lib/pam_totp/pam_totp/__pycache__"
    cache.mkdir(parents=True)
    (cache / "hook.cpython-311.pyc").write_bytes(b"old")
    assert 0 == scripts.run("postinst", "configure", "").returncode
    assert not cache.exists()


def test_key_and_store_are_made(scripts: Scripts) -> None:
    done = scripts.run("postinst", "configure", "")
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout == NEXT_STEPS.read_text(encoding="utf-8")
    assert ["totpctl init", "pam-auth-update --package"] == scripts.calls()


def test_next_steps_are_for_a_first_installation_that_install_sh_does_not_end(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.program("dpkg-trigger", ":")
    assert "" == scripts.run("postinst", "configure", "9.9").stdout
    monkeypatch.setenv("PAM_TOTP_INSTALLER", "yes")
    assert "" == scripts.run("postinst", "configure", "").stdout
    monkeypatch.delenv("PAM_TOTP_INSTALLER")
    scripts.program("totpctl", "exit 1")
    assert "" == scripts.run("postinst", "configure", "").stdout


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (0, ""),
        (6, "libpam-totp: warning: after this change, logins with a code are broken or can be"),
        (124, "libpam-totp: warning: doctor did not finish in 2 minutes"),  # as timeout(1) says
    ],
)
def test_doctor_looks_after_others_were_upgraded_and_apt_goes_on(
    scripts: Scripts, status: int, shown: str
) -> None:
    body = f"""echo totpctl "$@" >>{scripts.said}; echo WRONG something; exit {status}"""
    scripts.program("totpctl", body)
    done = scripts.run("postinst", "triggered", "/etc/pam.d /etc/ssh")
    assert (0, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(shown)
    assert (status == 6) == ("WRONG something" in done.stderr)
    assert ["totpctl doctor --quiet --log"] == scripts.calls()


def test_an_upgrade_of_ours_has_doctor_look_when_all_others_are_in_place(scripts: Scripts) -> None:
    scripts.program("dpkg-trigger", f'echo dpkg-trigger "$@" >>{scripts.said}')
    declared = (DEBIAN / f"{NAME}.triggers").read_text("utf-8").split()
    assert 0 == scripts.run("postinst", "configure", "").returncode
    assert [] == [call for call in scripts.calls() if call.startswith("dpkg-trigger")]
    assert 0 == scripts.run("postinst", "configure", "0.1").returncode
    (call,) = (call.split() for call in scripts.calls() if call.startswith("dpkg-trigger"))
    assert "--no-await" == call[1]
    assert "interest-noawait" == declared[declared.index(call[2]) - 1]


@pytest.mark.parametrize(
    ("script", "words", "called"),
    [
        ("preinst", ["install"], "start pam_totp.service"),
        ("preinst", ["upgrade", "0.1"], "start pam_totp.service"),
        ("postinst", ["configure", ""], "try-restart pam_totp.service"),
    ],
)
def test_worker_of_an_installation_that_was_no_package_is_replaced_as_in_an_upgrade(
    scripts: Scripts, script: str, words: list[str], called: str
) -> None:
    """It would go on with the old code, on a store that the new one has taken over."""
    scripts.program("systemctl", "exit 0")
    scripts.program("deb-systemd-invoke", f'echo "$@" >>{scripts.said}')
    assert 0 == scripts.run(script, *words).returncode
    assert called not in scripts.calls()  # without systemd
    (scripts.root / "run/systemd/system").mkdir(parents=True)
    assert 0 == scripts.run(script, *words).returncode
    assert called in scripts.calls()


def test_socket_that_somebody_has_stopped_is_not_started_by_the_unpacking(
    scripts: Scripts,
) -> None:
    (scripts.root / "run/systemd/system").mkdir(parents=True)
    scripts.program("systemctl", "exit 3")
    scripts.program("deb-systemd-invoke", f'echo "$@" >>{scripts.said}')
    assert 0 == scripts.run("preinst", "upgrade", "0.1").returncode
    assert [] == scripts.calls()


CONFMODULE = """
db_version() { :; }; db_fset() { :; }; db_input() { echo "$2" >>%s; }; db_go() { :; }
db_get() { RET=%s; }
"""


@pytest.mark.parametrize(("answer", "kept"), [("true", False), ("false", True), (None, True)])
def test_secrets_go_only_if_somebody_says_so(
    scripts: Scripts, answer: str | None, kept: bool
) -> None:
    key = scripts.root / "etc/security/pam_totp.key"
    store = scripts.root / "var/lib/pam_totp/store.db"
    key.touch()
    store.touch()
    if answer is not None:
        confmodule = scripts.root / "usr/share/debconf/confmodule"
        confmodule.parent.mkdir(parents=True)
        confmodule.write_text(CONFMODULE % (scripts.said, answer), encoding="utf-8")
    for action in ("remove", "purge"):
        assert key.exists()
        assert store.exists()
        done = scripts.run("postrm", action)
        assert 0 == done.returncode
    assert (kept, kept) == (key.exists(), store.exists())
    assert kept == (f"rm -rf {store.parent} {key}" in done.stderr)
    assert ([] if answer is None else ["libpam-totp/purge-secrets"]) == scripts.calls()


@pytest.mark.parametrize("linked", [False, True])
def test_secrets_go_also_where_their_folder_has_to_stay(scripts: Scripts, linked: bool) -> None:
    """A disk may be mounted there, or it may be a link."""
    confmodule = scripts.root / "usr/share/debconf/confmodule"
    confmodule.parent.mkdir(parents=True)
    confmodule.write_text(CONFMODULE % (scripts.said, "true"), encoding="utf-8")
    folder = scripts.root / "var/lib/pam_totp"
    if linked:
        folder = folder.rename(scripts.root / "elsewhere")
        (scripts.root / "var/lib/pam_totp").symlink_to(folder)
    else:
        scripts.program("rm", f'case "$*" in "-rf {folder}") exit 1 ;; esac; exec /bin/rm "$@"')
    key = scripts.root / "etc/security/pam_totp.key"
    broken_off = [
        key.with_name(name)
        for name in ("pam_totp.key.new", "pam_totp.key.lock", ".pam_totp-new.pam_totp.key")
    ]
    for path in (key, *broken_off, folder / "store.db", folder / ".hidden"):
        path.touch()
    (folder / "folder").mkdir()
    assert 0 == scripts.run("postrm", "purge").returncode
    assert [] == [path for path in (key, *broken_off) if path.exists()]
    assert [] == list(folder.iterdir())


def test_removal_takes_out_who_logs_in_by_a_key_alone_and_an_upgrade_does_not(
    scripts: Scripts,
) -> None:
    folder = scripts.root / "etc/ssh/sshd_config.d"
    folder.mkdir(parents=True)
    ours, other = folder / Path(key_only.FILE).name, folder / "90-mine.conf"
    for path in (ours, other):
        path.touch()
    scripts.program("systemctl", f'echo "$@" >>{scripts.said}')
    assert 0 == scripts.run("postrm", "upgrade", "9.9").returncode
    assert ours.exists()
    (scripts.root / "run/systemd/system").mkdir(parents=True)
    assert 0 == scripts.run("postrm", "remove").returncode
    assert [other] == list(folder.iterdir())
    assert ["try-reload-or-restart ssh.service"] == scripts.calls()


def test_purge_removes_what_a_trial_kept_and_no_edits(scripts: Scripts) -> None:
    folders = [scripts.root / name for name in ("etc/pam.d", "etc/ssh/sshd_config.d")]
    ours = (".pam_totp-unconfirmed.json", ".pam_totp-before.su", ".pam_totp-spare.su")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*ours, ".pam_totp-edited.su", "su"):
            (folder / name).touch()
    assert 0 == scripts.run("postrm", "purge").returncode
    for folder in folders:
        kept = {path.name for path in folder.iterdir()}
        assert (set(), {".pam_totp-edited.su", "su"}) == (kept & set(ours), kept - set(ours))
