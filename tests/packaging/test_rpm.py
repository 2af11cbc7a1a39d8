"""The RPM packages, built with rpmbuild: what is in them, and what their scriptlets let happen.

Debian's rpmbuild, with packaging/rpm/macros.elsewhere in place of Fedora's macros: nothing of this
has run on Fedora.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pam_totp
from admin_cli.host import fleet_units, key_only
from pam_totp.store.sqlite import schema
from pam_totp.system import config, fleet_file
from tests.support.catalogs import LANGUAGES
from tests.support.machine import Machine
from tests.support.place import ROOT

SPEC = ROOT / "packaging" / "rpm" / "pam_totp.spec"
RPMLINTRC = SPEC.with_suffix(".rpmlintrc")
MODULE = "/usr/lib64/security/pam_totp.so"
STATE = "/var/lib/pam_totp"
CONFIG_FLAGS = "cn"  # %config(noreplace)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)  # type: ignore[call-overload,no-any-return]


def query(package: Path, form: str) -> str:
    return run("rpm", "-qp", "--qf", form, package, check=True).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the packages."""
    output = tmp_path_factory.mktemp("rpm")
    done = run(ROOT / "packaging" / "build_rpm.sh", output, "--no-tests")
    assert (0, "") == (done.returncode, done.stderr)
    return output


@pytest.fixture(scope="module")
def package(built: Path) -> Path:
    (found,) = built.glob("pam_totp-[0-9]*.x86_64.rpm")
    return found


def test_the_packages_are_those_of_this_release(built: Path) -> None:
    names = sorted(query(path, "%{NAME} %{VERSION}") for path in built.iterdir())
    version = pam_totp.__version__
    expected = [
        "pam_totp",
        "pam_totp",
        "pam_totp-authselect",
        "pam_totp-selinux",
    ]  # with the source
    assert [f"{name} {version}" for name in expected] == names


def test_rpmlint_finds_nothing_that_has_no_reason(built: Path, tmp_path: Path) -> None:
    """It looks for the sources of the spec beside it."""
    for path in (SPEC, ROOT / "packaging" / "pam_files.sh"):
        shutil.copy(path, tmp_path)
    said = run("rpmlint", "-r", RPMLINTRC, *built.glob("*.rpm"), tmp_path / SPEC.name)
    assert "specfiles checked" in said.stdout, said
    found = [line for line in said.stdout.splitlines() if re.search(r": [EW]: ", line)]
    # Its versions do not find the same: a reason may be needed by one of them alone.
    assert [] == [line for line in found if "unused-rpmlintrc-filter" not in line]


def test_the_command_is_never_apart_from_the_module(package: Path, built: Path) -> None:
    files = query(package, "[%{FILENAMES}\n]").split()
    assert {"/usr/sbin/totpctl", MODULE, "/usr/lib/pam_totp/worker"} <= set(files)
    for name in ("authselect", "selinux"):
        (other,) = built.glob(f"pam_totp-{name}-*.rpm")
        assert not {"/usr/sbin/totpctl", MODULE} & set(query(other, "[%{FILENAMES}\n]").split())


def test_what_make_installs_is_what_the_package_has(
    package: Path, built: Path, tmp_path: Path
) -> None:
    (source,) = built.glob("*.src.rpm")
    unpack = 'rpm2cpio "$1" | cpio -id --quiet && tar -xzf pam_totp-*.tar.gz --strip-components=1'
    run("sh", "-c", unpack, "sh", source, cwd=tmp_path, check=True)
    options = (f"DESTDIR={tmp_path / 'root'}", "PAMDIR=/usr/lib64/security", "BYTECODE=no")
    zsh = f"ZSHDIR={tmp_path / 'root'}/usr/share/zsh/site-functions"  # Debian's is another
    run("make", "-s", "install", *options, zsh, cwd=tmp_path, check=True)
    root = tmp_path / "root"
    made = {f"/{path.relative_to(root)}" for path in root.rglob("*") if not path.is_dir()}
    made = {path for path in made if "/pam-configs/" not in path}
    made -= {"/usr/share/doc/pam_totp/LICENSE"}  # a license file, for rpm
    files = set(query(package, "[%{FILENAMES} %{FILEMODES:perms}\n]").splitlines())
    packed = {line.split()[0] for line in files if not line.split()[1].startswith("d")}
    packed = {p for p in packed if not re.search(r"/__pycache__/|/\.build-id/|/licenses/", p)}
    assert made == packed
    languages = query(package, "[%{FILENAMES} %{FILELANGS}\n]").splitlines()
    for name in LANGUAGES:
        assert f"/usr/share/locale/{name}/LC_MESSAGES/pam_totp.mo {name}" in languages


def test_every_module_is_compiled_for_the_time_that_its_source_has(
    package: Path, tmp_path: Path
) -> None:
    run("sh", "-c", 'rpm2cpio "$1" | cpio -idm --quiet', "sh", package, cwd=tmp_path, check=True)
    folder = tmp_path / "usr/lib/pam_totp"
    sources = [path for name in ("pam_totp", "admin_cli") for path in (folder / name).rglob("*.py")]
    assert sources
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        stamp = int.from_bytes(compiled.read_bytes()[8:12], "little")
        assert int(source.stat().st_mtime) == stamp, source
        assert str(tmp_path).encode() not in compiled.read_bytes()
    said = run("/usr/bin/python3", tmp_path / "usr/sbin/totpctl", "--version", check=True)
    assert f"totpctl, version {pam_totp.__version__}\n" == said.stdout


def test_settings_are_kept_and_secrets_in_no_list(package: Path) -> None:
    listed = query(package, "[%{FILENAMES} %{FILEFLAGS:fflags} %{FILEMODES:perms}\n]").splitlines()
    flags = {line.split()[0]: line.split()[1:] for line in listed}
    assert CONFIG_FLAGS == flags["/etc/security/pam_totp.conf"][0]
    assert ["drwx------"] == flags[STATE]
    assert not [path for path in flags if path.startswith(f"{STATE}/") or path.endswith(".key")]


def test_dependencies_are_named_as_fedora_names_them(package: Path) -> None:
    requires = query(package, "[%{REQUIRES} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\n]")
    assert {"python3-click", "python3-pynacl", "python3-pyotp", "python3-segno"} <= set(
        requires.split()
    )
    assert "python3 >= 3.11\n" in requires
    assert "(pam_totp-selinux if selinux-policy-targeted)" in requires
    assert "python3-pam\n" == query(package, "[%{RECOMMENDS}\n]")


def test_the_schema_that_pre_compares_with_is_that_of_the_release() -> None:
    (number,) = re.findall(r"^%global store_schema (\d+)$", SPEC.read_text("utf-8"), re.MULTILINE)
    assert len(schema.MIGRATIONS) == int(number)


def test_totpctl_keeps_all_of_fedoras_python() -> None:
    folders = [
        "/usr/lib64/python3.13",
        "/usr/lib64/python3.13/site-packages",
        "/usr/lib/python3.13",
    ]
    others = ["/usr/local/lib/python3.13/site-packages", "/home/alice"]
    script = (
        "import sys, types; stub = types.ModuleType('admin_cli.__main__'); stub.run = lambda: 0; "
        "sys.modules.update({'admin_cli': stub, 'admin_cli.__main__': stub}); "
        f"sys.path[:] = {others + folders!r}; __file__ = '/usr/sbin/totpctl'; "
        f"exec(open({str(ROOT / 'packaging/totpctl')!r}).read()); print(*sys.path)"
    )
    kept = run("/usr/bin/python3", "-c", script, check=True).stdout.split()
    assert ["/usr/lib/pam_totp", *folders] == kept


def scriptlet(package: Path, tag: str, count: int, root: Path) -> subprocess.CompletedProcess[str]:
    """Run a scriptlet on the files below ``root``; ``count`` is what rpm gives it."""
    text = query(package, f"%{{{tag}}}")
    for folder in (
        "/etc/pam.",
        "/etc/security",
        "/etc/ssh/",
        "/etc/systemd",
        "/usr/lib/pam",
        STATE,
    ):
        text = text.replace(folder, f"{root}{folder}")
    return run("/bin/sh", "-c", text, "sh", str(count))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/pam.d", "etc/security", "usr/lib/pam.d", STATE[1:]):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def set_schema(root: Path, number: int) -> None:
    store = sqlite3.connect(f"{root}{STATE}/store.db")
    store.execute(f"PRAGMA user_version = {number}")
    store.close()


@pytest.mark.parametrize("newer", [0, 1])
def test_pre_refuses_a_store_of_a_newer_release(package: Path, root: Path, newer: int) -> None:
    set_schema(root, len(schema.MIGRATIONS) + newer)
    done = scriptlet(package, "PREIN", 2, root)
    assert newer == done.returncode, done.stderr
    assert bool(newer) == ("hint: stay with what is installed" in done.stderr)


def test_pre_has_nothing_against_a_first_installation(package: Path, root: Path) -> None:
    assert (0, "") == (scriptlet(package, "PREIN", 1, root).returncode, "")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sshd", "auth required pam_totp.so\n", 1),
        ("sshd", "auth required pam_unix.so # not pam_totp.so\n", 0),
        ("sshd", "#auth required pam_totp.so\n", 0),
        ("sshd", "auth substack ROOT/elsewhere\n", 1),
        ("sshd.rpmsave", "auth required pam_totp.so\n", 0),
    ],
)
def test_preun_refuses_while_a_pam_file_names_the_module(
    package: Path, root: Path, name: str, text: str, expected: int
) -> None:
    (root / "elsewhere").write_text("auth required pam_totp.so\n")
    (root / "etc/pam.d" / name).write_text(text.replace("ROOT", str(root)))
    done = scriptlet(package, "PREUN", 0, root)
    assert expected == done.returncode
    assert bool(expected) == ("hint: run: totpctl disable SERVICE" in done.stderr)
    assert 0 == scriptlet(package, "PREUN", 1, root).returncode  # an upgrade


def test_preun_refuses_while_a_change_waits(package: Path, root: Path) -> None:
    (root / "etc/pam.d/.pam_totp-unconfirmed.json").touch()
    done = scriptlet(package, "PREUN", 0, root)
    assert 1 == done.returncode
    assert "totpctl revert" in done.stderr


def test_postun_names_the_identities_of_a_fleet_and_closes_the_sandbox(
    package: Path, root: Path
) -> None:
    drop_ins = [root / f"etc/systemd/system/{unit}.d/fleet.conf" for unit in fleet_units.UNITS]
    for drop_in in drop_ins:
        drop_in.parent.mkdir(parents=True)
        drop_in.touch()
    own = drop_ins[0].with_name("own.conf")
    own.touch()
    identities = [root / f"etc/security/pam_totp.{name}" for name in ("fleet", "fleet-ca.pem")]
    for identity in identities:
        identity.touch()
    scriptlet(package, "POSTUN", 1, root)  # an upgrade
    assert all(drop_in.exists() for drop_in in drop_ins)
    said = scriptlet(package, "POSTUN", 0, root).stdout
    kept = f"{root}{STATE} {root}/etc/security/pam_totp.key {identities[0]} {identities[1]}"
    assert f"pam_totp: kept, with every enrollment: {kept}\n" in said
    assert [own] == [path for path in (root / "etc/systemd").rglob("*") if path.is_file()]
    assert all(identity.exists() for identity in identities)
    assert not drop_ins[1].parent.exists()


def test_postun_takes_out_who_logs_in_by_a_key_alone(package: Path, root: Path) -> None:
    path = Path(f"{root}{key_only.FILE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    scriptlet(package, "POSTUN", 1, root)  # an upgrade
    assert path.exists()
    scriptlet(package, "POSTUN", 0, root)
    assert not path.exists()


def test_post_labels_what_a_fleet_writes(package: Path) -> None:
    said = query(package, "%{POSTIN}").replace("\\\n", " ")
    (labelled,) = re.findall(r"restorecon -i (.*) \|\| :", said)
    identities = (config.Config().fleet_host, config.Config().fleet_admin, fleet_file.DEFAULT_CA)
    assert identities == tuple(labelled.split())


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as started:
        yield started


@pytest.mark.root
def test_rpm_keeps_what_a_scriptlet_refuses_to_remove(package: Path, machine: Machine) -> None:
    """rpm itself runs the scriptlets, on a copy of this machine; dependencies are Debian's."""

    def rpm(*arguments: str) -> tuple[int, str]:
        done = machine.run("rpm", *arguments, check=False)
        return done.returncode, done.stdout + done.stderr

    machine.run("sh", "-c", "cat >/root/package.rpm", typed=package.read_bytes())
    assert 0 == rpm("-i", "--nodeps", "/root/package.rpm")[0]
    machine.run("totpctl", "list")  # %post has made key and store
    machine.write("/etc/pam.d/demo", "auth required pam_totp.so\n")
    status, said = rpm("-e", "pam_totp")
    assert (1, True) == (status, "erase failed" in said)
    machine.run("rm", "/etc/pam.d/demo")

    newer = (
        f"import sqlite3; sqlite3.connect('{STATE}/store.db').execute('PRAGMA user_version={{}}')"
    )
    machine.run("/usr/bin/python3", "-c", newer.format(len(schema.MIGRATIONS) + 1))
    assert 0 != rpm("-U", "--nodeps", "--replacepkgs", "/root/package.rpm")[0]
    assert 0 == rpm("-q", "pam_totp")[0]
    machine.run("/usr/bin/python3", "-c", newer.format(len(schema.MIGRATIONS)))
    machine.run("totpctl", "list")
    assert 0 == rpm("-U", "--nodeps", "--replacepkgs", "/root/package.rpm")[0]

    assert 0 == rpm("-e", "pam_totp")[0]
    machine.run("test", "-e", f"{STATE}/store.db", "-a", "-e", "/etc/security/pam_totp.key")
    machine.run("test", "!", "-e", "/usr/lib/pam_totp")
