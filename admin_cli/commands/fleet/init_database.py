"""What init does."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from pam_totp.store.postgresql import migrations
from pam_totp.system import fleet_file, postgresql_url
from pam_totp.system.fleet_file import Identity

from ... import output
from ...errors import CommandFailed
from ...host import files
from ...session import Session
from . import administrator, superuser

if TYPE_CHECKING:
    from pam_totp.store.postgresql.admin_connection import AdminConnection

HOST_ROLE = "totp_login"
_PASSWORD_BYTES = 24
# So that no parameter of a statement, which may be a key or a code, ever stands in the log of the
# database. Only a superuser may change these, and so nobody can take them back.
_QUIET = {
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "client_min_messages": "warning",  # of a commit that a standby has not confirmed
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
}
# A call that a host has given up ends soon; hosts wait 12 seconds for one answer.
_BOUNDED = {"statement_timeout": "15s", "idle_in_transaction_session_timeout": "15s"}


class Founding(NamedTuple):
    """What init was asked for. ``role`` makes everything; ``administrator`` is a role to make."""

    url: str
    role: str
    socket: str  # folder; "": by TCP
    ca: str  # path; "": the one of this machine
    administrator: str


def init(session: Session, plan: Founding) -> None:
    """Make roles, schema and keys, each once. Raises CommandFailed, Unavailable.

    The administrator's identity is on the disk before the database knows its key: what was
    interrupted is finished with the same one.
    """
    path = session.config.fleet_admin
    try:
        postgresql_url.parse(plan.url)
    except ValueError as error:
        raise CommandFailed(
            f"{plan.url}: {error}", "as in: postgresql://db.example/pam_totp"
        ) from None
    known = _known(path)
    if known is not None and known.store != plan.url:
        raise CommandFailed(
            f"{path} is of the fleet {known.store or 'of pam_totp.conf'}",
            "name another file as fleet_admin in pam_totp.conf, or move this one away",
        )
    ca = os.path.join(os.path.dirname(path), os.path.basename(fleet_file.DEFAULT_CA))
    _keep_ca(plan.ca, ca)
    with superuser.connected(plan.url, plan.role, plan.socket, ca) as opened:
        found = _refuse_others(opened, plan, known)
        if not found:
            identity = known or Identity(
                key=os.urandom(fleet_file.KEY_BYTES),
                user=plan.administrator,
                password=secrets.token_urlsafe(_PASSWORD_BYTES),
                ca=ca,
                store=plan.url,
                host_user=HOST_ROLE,
                host_password=secrets.token_urlsafe(_PASSWORD_BYTES),
            )
            files.write_for_root(path, fleet_file.content(identity))
            _make(opened, identity)
    reached = administrator.read(session)
    with reached.administration() as fleet:
        fleet.policy()
    if found:
        output.message(f"{plan.url} is this machine's fleet already; nothing was changed")
        return
    session.log("fleet_made", "", store=plan.url)
    output.message(f"made a fleet in {plan.url}")
    output.message(f"its administrator's identity is in {path}: back it up, and keep it secret;")
    output.message("with it and the database, every secret can be read; without it, none")
    output.message("next, for each host: totpctl fleet add HOST")


def _known(path: str) -> Identity | None:
    try:
        return fleet_file.read(path)
    except FileNotFoundError:
        return None


def _keep_ca(given: str, path: str) -> None:
    """Copy the CA's certificate to where identities name it."""
    if not given:
        if not os.path.lexists(path):
            raise CommandFailed(
                f"there is no certificate {path} to check the database server's by",
                "name the CA's certificate: --ca FILE",
            )
        return
    with open(given, "rb") as file:  # whoever names it vouches for it
        content = file.read(administrator.MAX_CA_BYTES)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise CommandFailed(f"{given}: holds no certificate in PEM form", "check --ca")
    files.write_for_root(path, content)


def _refuse_others(opened: AdminConnection, plan: Founding, known: Identity | None) -> bool:
    """Return whether the fleet is there already. Raises CommandFailed for what is not empty."""
    if _one(opened, "SELECT to_regnamespace('totp') IS NOT NULL"):
        version = migrations.version(opened)
        if version and _one(opened, "SELECT EXISTS (SELECT FROM totp.meta WHERE key = 'data_key')"):
            if known is None:
                raise CommandFailed(
                    f"{plan.url} holds a fleet already, and this machine has no identity for it",
                    "copy the administrator's identity and the CA's certificate from the machine "
                    "where it was made",
                )
            return True
        return False
    others = _one(
        opened,
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
    )
    if others:
        raise CommandFailed(
            f"{plan.url} is not empty: it has {others} tables, indexes or views of something else",
            "create a database for the fleet alone: createdb --encoding=UTF8 pam_totp",
        )
    taken = _one(
        opened,
        "SELECT string_agg(rolname, ', ') FROM pg_roles WHERE rolname IN ($1, $2)",
        HOST_ROLE,
        plan.administrator,
    )
    if taken and known is None:
        raise CommandFailed(
            f"the database server has these roles already: {taken}",
            "a server has one fleet; if they are left from one that is gone: dropuser ROLE",
        )
    return False


def _make(opened: AdminConnection, identity: Identity) -> None:
    with opened.transaction():
        migrations.prepare(opened)
        migrations.migrate(opened)
        opened.execute("SET LOCAL ROLE NONE")  # each of them was totp_owner, until the end of this
        if not _one(
            opened, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", identity.user
        ):
            _run(opened, "CREATE ROLE %I LOGIN IN ROLE totp_admin", identity.user)
        for role, password, settings in (
            (identity.user, identity.password, _QUIET),
            (identity.host_user, identity.host_password, _QUIET | _BOUNDED),
        ):
            digest = opened.encrypted_password(role, password)
            _run(opened, "ALTER ROLE %I PASSWORD %L", role, digest)
            for setting, value in settings.items():
                _run(opened, "ALTER ROLE %I SET %I = %L", role, setting, value)
        opened.execute("SET LOCAL ROLE totp_owner")
        opened.execute("SELECT totp.make_keys($1)", (identity.key,))


def _run(opened: AdminConnection, statement: str, *words: str) -> None:
    """Run a statement that takes no parameters: names (%I) and literals (%L) are quoted into it."""
    ((quoted,),) = opened.execute("SELECT format($1, VARIADIC $2::text[])", (statement, words))
    opened.execute(quoted)


def _one(opened: AdminConnection, statement: str, *values: str) -> Any:
    ((value,),) = opened.execute(statement, values)
    return value
