"""One key of pam_totp.conf is set, and everything else in it stays."""

from __future__ import annotations

from admin_cli.host.settings_file import with_setting
from pam_totp.system import config
from tests.support.each import each
from tests.support.place import ROOT

NEW = "store = postgresql://db/x\n"


@each(
    ("before", "after"),
    [
        ("", NEW),
        ("window = 0\n", f"window = 0\n{NEW}"),
        ("window = 0", f"window = 0\n{NEW}"),
        ("# a\nstore = /x\n# b\n", f"# a\n{NEW}# b\n"),
        ("  store=/x", NEW),
        ("store = /x\nquiet = no\nstore = /y\n", f"quiet = no\n{NEW}"),
        ("# store = /x\n# key = y\n", f"# store = /x\n{NEW}# key = y\n"),
        ("# local_store = /x\n", f"# local_store = /x\n{NEW}"),
        ("# the store = where\n", f"# the store = where\n{NEW}"),
    ],
)
def test_the_line_is_replaced_or_stands_below_its_comment(before: str, after: str) -> None:
    assert after == with_setting(before, "store", "postgresql://db/x")


def test_the_file_that_is_installed_gets_it_below_its_default() -> None:
    text = (ROOT / "packaging" / "pam_totp.conf").read_text("utf-8")
    changed = with_setting(text, "store", "postgresql://db/x")
    assert changed.replace(NEW, "") == text
    assert f"# store = /var/lib/pam_totp/store.db\n{NEW}" in changed
    loaded = config.parse(changed.encode())
    assert config.Loaded(config.Config(store="postgresql://db/x"), ()) == loaded
