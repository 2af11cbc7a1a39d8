"""The drop-in of sshd, and what AuthenticationMethods says of keys."""

from __future__ import annotations

import pytest

from admin_cli.errors import CommandFailed
from admin_cli.host import sshd
from admin_cli.host.sshd import drop_in_text as sshd_drop_in
from admin_cli.host.sshd import files as sshd_files
from tests.support.place import ROOT

KEYS = ("code", "key+code", "password+code", "none", "skip")
EXAMPLES = {"code": "key-or-password-and-code"}


@pytest.mark.parametrize("keys", KEYS)
def test_drop_in_is_one_block_of_settings(keys: str) -> None:
    lines = sshd.drop_in(keys).splitlines()
    assert (sshd_drop_in.BEGIN, sshd_drop_in.END) == (lines[0], lines[-1])
    assert ["UsePAM yes", "KbdInteractiveAuthentication yes"] == lines[1:3]
    assert "PasswordAuthentication no" in lines
    assert f"AuthenticationMethods {sshd_drop_in.METHODS[keys]}" in lines
    assert (keys not in ("none", "skip")) is ("PubkeyAuthentication yes" in lines)


def test_drop_in_says_what_the_example_says() -> None:
    folder = ROOT / "packaging" / "sshd_config.d"
    for keys, name in EXAMPLES.items():
        example = (folder / f"{name}.conf").read_text("utf-8").splitlines()
        assert example[1:] == sshd.drop_in(keys).splitlines()[1:-1]


@pytest.mark.parametrize("keys", KEYS)
def test_drop_in_taken_out_leaves_nothing(keys: str) -> None:
    assert "" == sshd.drop_in_disabled(sshd.drop_in(keys))


def test_drop_in_taken_out_leaves_what_somebody_added() -> None:
    text = f"# mine\n{sshd.drop_in('code')}X11Forwarding no\n"
    assert "# mine\nX11Forwarding no\n" == sshd.drop_in_disabled(text)


def test_text_without_our_block_stays_as_it_is() -> None:
    assert "UsePAM yes\n" == sshd.drop_in_disabled("UsePAM yes\n")


def test_block_without_its_end_takes_nothing_that_we_did_not_write() -> None:
    cut = sshd.drop_in("skip").replace(f"{sshd_drop_in.END}\n", "")
    assert "Port 22\n" == sshd.drop_in_disabled(f"{cut}Port 22\n")


def test_line_that_somebody_put_into_our_block_stays() -> None:
    edited = sshd.drop_in("code").replace("UsePAM yes\n", "UsePAM yes\nPort 2222\n")
    edited = edited.replace("PasswordAuthentication no", "PasswordAuthentication yes")
    assert "Port 2222\n" == sshd.drop_in_disabled(edited)


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        *((sshd_drop_in.METHODS[keys], keys) for keys in KEYS if keys != "key+code"),
        (sshd_drop_in.METHODS["key+code"], "password+code"),  # PAM's file says which
        ("any", "skip"),
        ("publickey", "skip"),
        ("publickey,password", "skip"),
        ("keyboard-interactive publickey,keyboard-interactive", "code"),
        ("publickey,keyboard-interactive:pam keyboard-interactive:pam", "code"),
        ("publickey,keyboard-interactive password", "password+code"),
        ("keyboard-interactive", "none"),
        ("publickey,publickey,keyboard-interactive", "password+code"),
        ("publickey,keyboard-interactive publickey", "skip"),
    ],
)
def test_keys_in_force_are_told_by_the_methods(methods: str, expected: str) -> None:
    settings = {"pubkeyauthentication": "yes", "authenticationmethods": methods}
    assert expected == sshd.keys_in_force(settings)


def test_keys_that_sshd_does_not_take_are_none() -> None:
    settings = {"pubkeyauthentication": "no", "authenticationmethods": sshd_drop_in.METHODS["code"]}
    assert "none" == sshd.keys_in_force(settings)


def default_keys(monkeypatch: pytest.MonkeyPatch, settings: str) -> str:
    """Return what enable does without --keys, where sshd -T says ``settings``."""
    debian = {
        "usepam": "yes",
        "pubkeyauthentication": "yes",
        "passwordauthentication": "yes",
        "kbdinteractiveauthentication": "no",
        "authenticationmethods": "any",
    }
    said = dict(setting.split(" ", 1) for setting in settings.split("; ") if setting)
    monkeypatch.setattr(sshd, "effective", lambda: {**debian, **said})
    try:
        return sshd.keys_by_default()
    except CommandFailed as error:
        return str(error)


NO_PASSWORDS = "passwordauthentication no"
NO_KEYS = "pubkeyauthentication no"
METHODS = "authenticationmethods "


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", "code"),
        ("kbdinteractiveauthentication yes; passwordauthentication no", "code"),
        (f"{METHODS}publickey password", "code"),
        (f"{METHODS}password publickey,password", "code"),
        (NO_PASSWORDS, "key+code"),
        (f"{NO_PASSWORDS}; kbdinteractiveauthentication yes; usepam no", "key+code"),
        (f"{METHODS}publickey", "key+code"),
        (f"{METHODS}publickey password; {NO_PASSWORDS}", "key+code"),
        (f"{METHODS}publickey,password", "password+code"),
        (f"{METHODS}password,publickey", "password+code"),
        (f"{METHODS}publickey,password; {NO_PASSWORDS}", "key+code"),
        (
            f"{METHODS}publickey,keyboard-interactive:pam; kbdinteractiveauthentication yes",
            "password+code",
        ),
        (NO_KEYS, "none"),
        (f"{METHODS}password", "none"),
        (f"{NO_KEYS}; {NO_PASSWORDS}", "sshd takes neither keys nor passwords now"),
    ],
)
def test_keys_by_default_add_no_way_in(
    monkeypatch: pytest.MonkeyPatch, settings: str, expected: str
) -> None:
    assert expected == default_keys(monkeypatch, settings)


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What an sshd has in force that goes by our drop-in, and by no other line."""
    settings = {"pamservicename": "sshd", **sshd_drop_in.needed("code")}
    monkeypatch.setattr(sshd, "check", lambda: None)
    monkeypatch.setattr(sshd, "effective", lambda user=None: settings)
    monkeypatch.setattr(sshd, "DROP_IN", str(ROOT / "setup.cfg"))  # a file that is there
    monkeypatch.setattr(sshd_files, "files_read", lambda main: [sshd.DROP_IN])
    monkeypatch.setattr(sshd, "settings_of_files", list)
    return settings


def test_pam_file_of_another_name_is_a_problem_where_sshd_goes_by_it(
    in_force: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [] == sshd.problems("code")
    in_force["pamservicename"] = "sshd-plain"
    line = sshd_files.Setting("/etc/ssh/sshd_config", 3, "pamservicename", "sshd-plain")
    monkeypatch.setattr(sshd, "settings_of_files", lambda: [line])
    assert [
        "/etc/ssh/sshd_config:3: PAMServiceName sshd-plain is in force, not sshd"
    ] == sshd.problems("code")


def test_pam_file_of_another_name_is_a_problem_for_some_users_too(
    in_force: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = sshd_files.Setting("/etc/ssh/x", 3, "pamservicename", "plain", ("user alice",))
    monkeypatch.setattr(sshd, "settings_of_files", lambda: [line])
    assert [
        f"/etc/ssh/x:3: sets PAMServiceName plain for Match user alice, which wins over "
        f"{sshd.DROP_IN}"
    ] == sshd.problems("code")


def test_sshd_that_cannot_be_told_a_pam_file_goes_by_its_own(in_force: dict[str, str]) -> None:
    del in_force["pamservicename"]
    assert [] == sshd.problems("code")


def test_drop_in_has_no_line_that_an_older_sshd_refuses() -> None:
    assert "PAMServiceName" not in "".join(map(sshd.drop_in, KEYS))
