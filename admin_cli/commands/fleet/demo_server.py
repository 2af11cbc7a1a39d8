"""What demo does: a database server of its own, in one folder, and a fleet of one host in it.

Nothing outside of the folder is written: the configuration, the identities and the local store of
the demo lie in it as well. The machine logs in as before, and removing it is deleting a folder.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import stat
import subprocess

from pam_totp.system import config
from pam_totp.system.errors import PamTotpError

from ... import output
from ...errors import CommandFailed
from ...host import programs
from ...session import Session
from ..creating import init as create
from . import add, init_database, join_host

FOLDER = "/var/lib/pam_totp-demo"
CONFIG = f"{FOLDER}/pam_totp.conf"
PORT = 54399
DATABASE = "pam_totp"
URL = f"postgresql://localhost:{PORT}/{DATABASE}"
ACCOUNT = "postgres"  # of the distribution's package

_DATA, _SOCKETS, _CA = f"{FOLDER}/data", f"{FOLDER}/run", f"{FOLDER}/ca.pem"
_LOG = f"{FOLDER}/data/server.log"
_SETTINGS = f"""
store = {FOLDER}/store/store.db
sealing_key = {FOLDER}/pam_totp.key
fleet_host = {FOLDER}/pam_totp.fleet
fleet_admin = {FOLDER}/pam_totp.fleet-admin
"""
_SERVER = f"""
listen_addresses = 'localhost'
port = {PORT}
unix_socket_directories = '{_SOCKETS}'
ssl = on
ssl_cert_file = '{_DATA}/server.pem'
ssl_key_file = '{_DATA}/server.key'
password_encryption = 'scram-sha-256'
"""
_WHO_MAY_CONNECT = """
local   all all              peer
hostssl all all localhost    scram-sha-256
"""
_DAYS = "30"  # that the certificates are good
_FOR_ALL = stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
_SECONDS = 60.0  # that a step may take


def start() -> None:
    """Make what is missing, and start it. Raises CommandFailed, Unavailable."""
    if os.path.isdir(FOLDER):
        if not _runs():
            _server("start", "--wait", f"--log={_LOG}")
        _say_how_to_use_it()
        return
    account, binaries = _account(), _binaries()
    try:
        _make_server(account, binaries)
        _make_fleet()
    except BaseException:
        _take_away()
        raise
    _say_how_to_use_it()


def remove(*, yes: bool) -> None:
    """Stop the server, and delete the folder. Raises CommandFailed."""
    if not os.path.isdir(FOLDER):
        output.message("there is no demo on this machine")
        return
    if config.load().config.store == URL:
        raise CommandFailed(
            f"{config.DEFAULT_PATH} names the demo as this machine's store",
            f"restore what it was before; by default: store = {config.Config().store}",
        )
    output.confirm(f"Delete {FOLDER}, with everybody who was enrolled in the demo?", yes=yes)
    _take_away()
    output.message(f"{FOLDER} is gone; this machine logs in as before")


def _make_server(account: pwd.struct_passwd, binaries: str) -> None:
    os.mkdir(FOLDER)
    for folder in (_DATA, _SOCKETS):
        os.mkdir(folder)
        os.chown(folder, account.pw_uid, account.pw_gid)
    for folder in (FOLDER, _SOCKETS):
        os.chmod(folder, _FOR_ALL)
    _run(
        *_as(account), f"{binaries}/initdb", f"--pgdata={_DATA}", "--auth=peer", "--encoding=UTF8",
        "--locale=C.UTF-8", f"--username={ACCOUNT}", "--no-sync",
    )  # fmt: skip
    _make_certificates()
    for name in ("server.pem", "server.key"):
        os.chown(f"{_DATA}/{name}", account.pw_uid, account.pw_gid)
    with open(f"{_DATA}/postgresql.conf", "a", encoding="utf-8") as file:
        file.write(_SERVER)
    with open(f"{_DATA}/pg_hba.conf", "w", encoding="utf-8") as file:
        file.write(_WHO_MAY_CONNECT)
    _server("start", "--wait", f"--log={_LOG}")
    _run(*_as(account), f"{binaries}/createdb", f"--host={_SOCKETS}", f"--port={PORT}", DATABASE)


def _make_certificates() -> None:
    """Make a CA and the server's certificate; the CA's key is not kept."""
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
           "-noenc", "-days", _DAYS)  # fmt: skip
    key = f"{FOLDER}/ca.key"
    _run(*new, "-subj", "/CN=pam_totp demo CA", "-keyout", key, "-out", _CA)
    _run(
        *new, "-CA", _CA, "-CAkey", key, "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
        "-keyout", f"{_DATA}/server.key", "-out", f"{_DATA}/server.pem",
    )  # fmt: skip
    os.remove(key)


def _make_fleet() -> None:
    with open(CONFIG, "w", encoding="utf-8") as file:
        file.write(_SETTINGS)
    os.chmod(CONFIG, 0o644)
    os.mkdir(f"{FOLDER}/store", 0o700)
    session = Session(CONFIG)
    create(session)
    plan = init_database.Founding(URL, ACCOUNT, _SOCKETS, _CA, "totp_administrator")
    init_database.init(session, plan)
    name = os.uname().nodename
    token = add.invite(session, name, ("demo",), add.Way(), yes=True)
    join_host.join(session, token.encode(), yes=True)


def _say_how_to_use_it() -> None:
    output.message(f"the demo runs: {URL}, all of it in {FOLDER}")
    output.message("logins of this machine are as before; try it with:")
    for words in ("enroll USER", "verify USER", "fleet list"):
        output.message(" ".join(("   ", "totpctl", "--config", CONFIG, words)))
    output.message("and take it away with: totpctl fleet demo --remove")


def _take_away() -> None:
    if os.path.isdir(_DATA) and _runs():
        _server("stop", "--mode=immediate", "--wait")
    shutil.rmtree(FOLDER, ignore_errors=True)


def _runs() -> bool:
    return os.path.lexists(f"{_DATA}/postmaster.pid") and _control("status").returncode == 0


def _server(*words: str) -> None:
    done = _control(*words)
    if done.returncode:
        raise CommandFailed(
            f"pg_ctl {words[0]}: {done.stderr.strip() or done.stdout.strip()}",
            f"the server's log says why: {_LOG}",
        )


def _control(*words: str) -> subprocess.CompletedProcess[str]:
    command = [*_as(_account()), f"{_binaries()}/pg_ctl", f"--pgdata={_DATA}", "--silent", *words]
    return programs.run(command, timeout=_SECONDS)


def _run(*command: str) -> None:
    done = programs.run(command, timeout=_SECONDS)
    if done.returncode:
        name = next(os.path.basename(w) for w in command if not w.startswith("-"))
        raise CommandFailed(f"{name}: {done.stderr.strip()}", "the demo is taken away again")


def _as(account: pwd.struct_passwd) -> tuple[str, ...]:
    ids = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}")
    return ("setpriv", *ids, "--clear-groups", "--")


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise _not_installed(f"there is no account {ACCOUNT}") from None


def _binaries() -> str:
    """Return the folder of the newest PostgreSQL: /usr/lib/postgresql/17/bin."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not found:
        raise _not_installed("PostgreSQL is not installed")
    return os.path.dirname(max(found, key=lambda path: [len(path), path]))


def _not_installed(problem: str) -> PamTotpError:
    return CommandFailed(problem, "run: apt-get install postgresql python3-psycopg")
