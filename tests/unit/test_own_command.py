"""totpctl me, as its person sees it: what is shown, typed and returned."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from admin_cli import main, running
from admin_cli.commands.own import group
from pam_totp.service import own_wire
from pam_totp.service.worker import Peer
from tests.support.place import code_now
from tests.unit.own_person import TIMEOUT, UID, Person


class Command:
    """``run`` returns exit code, results and messages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shown: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._shown = shown

    def run(self, *words: str, typed: str = "") -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = running.run(group.me, list(words))
        return code, *self._shown.readouterr()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setattr(os, "geteuid", lambda: UID)
    return Command(monkeypatch, capsys)


@pytest.fixture
def served(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """Whoever connects is served as alice is."""
    path = tmp_path / "me.sock"
    monkeypatch.setattr(own_wire, "SOCKET", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(person, listener))
        thread.start()
        yield person
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(TIMEOUT)


def serve(person: Person, listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        person.serve(connection, Peer(os.getpid(), UID))


@pytest.mark.usefixtures("served")
def test_the_state_is_shown_in_lines_and_as_one_document(command: Command) -> None:
    code, shown, said = command.run()
    assert (0, "") == (code, said)
    assert ["AUTHENTICATOR", "SINCE", "LAST", "USED"] == shown.splitlines()[2].split()
    assert "recovery codes left: 2" in shown.splitlines()
    document = json.loads(command.run("--json")[1])
    assert ("alice", "phone") == (document["user"], document["authenticators"][0]["label"])
    assert document["authenticators"][0]["created_at"].endswith("Z")


@pytest.mark.usefixtures("served")
def test_new_codes_are_results_and_prompts_are_messages(command: Command) -> None:
    code, shown, said = command.run("recovery-codes", typed=f"{code_now()}\n\n")
    assert (0, 5) == (code, sum(line.count("-") == 6 for line in shown.splitlines()))
    assert "Current code from your app, or a recovery code: " in said
    assert "The new recovery codes are valid; the old ones are void." in shown


@pytest.mark.usefixtures("served")
def test_what_is_refused_is_an_error_with_what_helps(command: Command) -> None:
    code, shown, said = command.run("remove", "phone")
    expected = (
        "totpctl: error: phone is your only authenticator, and stays\n"
        "hint: replace it with: totpctl me new-phone\n"
    )
    assert (1, "", expected) == (code, shown, said)


@pytest.mark.usefixtures("served")
def test_the_end_of_the_input_changes_nothing(served: Person, command: Command) -> None:
    before = served.place.record("alice")
    assert 1 == command.run("recovery-codes", typed="")[0]
    assert before == served.place.record("alice")


def test_a_socket_that_is_not_there_is_an_error_with_what_helps(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_wire, "SOCKET", str(tmp_path / "none"))
    code, _, said = command.run()
    assert (1, True) == (code, "systemctl enable --now pam_totp-me.socket" in said)


@pytest.mark.parametrize("sent", [b"", b"garbage", b"PT\1\x15", b"PT\1\x14", b"PT\1\x14\0no json"])
def test_an_end_without_a_word_is_an_error(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    path = tmp_path / "me.sock"
    monkeypatch.setattr(own_wire, "SOCKET", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(512)
                connection.send(sent)

        thread = threading.Thread(target=answer)
        thread.start()
        code, _, said = command.run()
        thread.join(TIMEOUT)
    assert (1, True) == (code, "has gone without a word" in said)


def test_root_has_none(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    code, _, said = command.run()
    assert (1, True) == (code, "you are root" in said)


@pytest.mark.parametrize("words", [("add",), ("add", "a\nb"), ("remove",), ("--json", "add", "x")])
def test_what_is_not_understood_is_not_asked(command: Command, words: tuple[str, ...]) -> None:
    assert 2 == command.run(*words)[0]


def test_no_other_configuration_is_asked_about() -> None:
    root = click.Context(main.totpctl, info_name="totpctl")
    root.params["config_path"] = "/etc/other.conf"
    with (
        group.me.make_context("me", [], parent=root) as context,
        pytest.raises(click.UsageError, match="--config is not for totpctl me"),
    ):
        group.me.invoke(context)
