"""take_back_schema.py LIBRARY [CONFIG]: bring the store back to the schema that LIBRARY knows.

For install.sh. A version that fails its self-test may have taken the store over before; the
previous one, back in place, would refuse that store, and with it every login. Nothing that
anybody has put into the new tables and columns is thrown away: then the store stays as it is, and
this exits with 1.
"""

import os
import sqlite3
import sys

PATIENCE = 30.0  # seconds

# Of each migration but the first: what counts the rows that need it, and what takes it back.
UNDO = {
    2: (
        "SELECT (SELECT count(*) FROM group_rules)"
        " + (SELECT count(*) FROM users WHERE exempt_until <> 0)",
        ("DROP TABLE group_rules", "ALTER TABLE users DROP COLUMN exempt_until"),
    ),
    # What logins count and note by themselves, and will again: no administrator's word is lost.
    3: (
        "SELECT 0",
        (
            *(
                f"ALTER TABLE users DROP COLUMN {column}"
                for column in ("uid", "bound_at", "untold", "guesses_until")
            ),
            "ALTER TABLE decoys DROP COLUMN guesses_until",
            "ALTER TABLE authenticators DROP COLUMN clock_offset",
            "ALTER TABLE authenticators DROP COLUMN clock_sightings",
        ),
    ),
}


def main() -> None:
    library, *config_path = sys.argv[1:]
    sys.dont_write_bytecode = True
    sys.path.insert(0, library)
    from pam_totp.store.sqlite import schema
    from pam_totp.system import config

    settings = config.load(*config_path).config
    path = settings.store.removeprefix("sqlite:")
    if os.path.exists(path):
        take_back(path, len(schema.MIGRATIONS))


def take_back(path: str, known: int) -> None:
    """Undo each migration after the first ``known``, in one transaction: all of them, or none."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number in range(version, known, -1):
        in_use, statements = UNDO[number]
        if connection.execute(in_use).fetchone() != (0,):
            connection.execute("ROLLBACK")
            sys.exit(
                f"{path}: the previous version cannot use it, because of what the new one wrote: "
                "install a newer version than the previous one"
            )
        for statement in statements:
            connection.execute(statement)
    if version > known:
        connection.execute(f"PRAGMA user_version = {known}")
    connection.execute("COMMIT")
    connection.close()


if __name__ == "__main__":
    main()
