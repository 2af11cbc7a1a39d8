"""Tab in bash and zsh on a terminal, and in fish by the call that a terminal makes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core.users import SUSPENDED
from tests.packaging.completing import Shelf, Shell
from tests.support.place import Place

# Each by its first letters alone; a shell that took one at its word would leave a file, or worse.
LABELS = {
    "bl": "blank in it's",
    "do": 'do"u$(touch pwned)`touch pwned`',
    "se": "se;touch pwned|x&(y)>pwned<z",
    "gl": "gl*[a]? {b,c} !! #d",
    "sl": "sl\\ash=l:on@x",
    "pe": "pe%F{red}%n$HOME",
    "um": "umläut €",
    "~r": "~root",
}
DASH = "-rf"


def users() -> tuple[str, ...]:
    return ("alice", "carol", "dave@example.org", "eve$(touch pwned)", "ex ample\\mallory")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    place = Place(tmp_path_factory.mktemp("place"))
    for user in users():
        place.enrol(user)
    place.enrol("bob", status=SUSPENDED)
    for label in (*LABELS.values(), DASH):
        place.enrol("carol", label=label)
    return Shelf(place, tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, shelf: Shelf) -> Iterator[Shell]:
    opened = Shell(request.param, shelf)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def nothing_is_executed(shelf: Shelf) -> Iterator[None]:
    yield
    assert [] == list(shelf.empty.rglob("pwned"))


def in_fish(shelf: Shelf, line: str) -> dict[str, str]:
    """Return what fish offers after ``line``, with what it says of each."""
    script = f"source {shelf.folder}/totpctl.fish; complete -C $argv[1]"
    done = subprocess.run(
        ["fish", "-c", script, line],
        env={"PATH": "/usr/bin:/bin", "HOME": str(shelf.home), "LC_ALL": "C.UTF-8"},
        cwd=shelf.empty,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    assert "" == done.stderr
    offers = (offer.partition("\t") for offer in done.stdout.splitlines())
    return {word: description for word, _, description in offers}


def test_a_command_and_an_option_are_completed(shell: Shell) -> None:
    assert ["recovery-codes", "--yes"] == shell.complete("totpctl reco", "--yes")
    assert ["enroll", "--if-missing"] == shell.complete("totpctl enroll --if")


def test_values_of_an_option_are_completed_in_both_forms(shell: Shell) -> None:
    assert ["enable", "--keys", "password+code"] == shell.complete("totpctl enable --keys pa")
    assert ["enroll", "--algorithm=SHA512"] == shell.complete("totpctl enroll --algorithm=SHA5")


def test_services_are_those_of_pam(shell: Shell) -> None:
    assert ["enable", "sudo"] == shell.complete("totpctl enable su")
    assert {"sshd", "sudo"} <= shell.list("totpctl enable s")


@pytest.mark.parametrize("start", LABELS)
def test_label_of_the_user_named_before_is_one_argument_as_it_is(shell: Shell, start: str) -> None:
    typed = start.replace("~", "\\~")
    expected = ["remove", "carol", "--label", LABELS[start]]
    assert expected == shell.complete(f"totpctl remove carol --label {typed}")


@pytest.mark.parametrize("start", ["bl", "do", "sl"])
def test_label_behind_an_equals_sign_is_one_argument_as_it_is(shell: Shell, start: str) -> None:
    expected = ["remove", "carol", f"--label={LABELS[start]}", "--yes"]
    assert expected == shell.complete(f"totpctl remove carol --label={start}", "--yes")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_label_goes_on_within_quotes(shell: Shell, quote: str) -> None:
    expected = ["remove", "carol", "--label", "umläut €"]
    assert expected == shell.complete(f"totpctl remove carol --label {quote}umläut ")
    assert expected == shell.complete(f"totpctl remove carol --label um{quote}läut ")
    assert expected == shell.complete(f"totpctl remove carol --label {quote}umläut{quote}\\ ")


def test_label_goes_on_behind_what_ends_a_word_for_readline(shell: Shell) -> None:
    expected = ["remove", "carol", "--label", LABELS["sl"]]
    assert expected == shell.complete("totpctl remove carol --label sl\\\\ash=l:o")


@pytest.mark.parametrize("user", users())
def test_name_of_a_user_is_one_argument_as_it_is(shell: Shell, user: str) -> None:
    assert ["show", user] == shell.complete(f"totpctl show {user[:2]}")


def test_whom_a_command_cannot_help_is_not_offered(shell: Shell) -> None:
    assert ["resume", "bob"] == shell.complete("totpctl resume ")
    assert ["enroll", "root"] == shell.complete("totpctl enroll r")


def test_what_is_typed_is_not_executed_by_tab(shell: Shell) -> None:
    for typed in ("$(touch pwned)`touch pwned`", "'$(touch pwned)"):
        shell.list(f"totpctl show {typed}")
    shell.list("totpctl remove $(touch pwned)`touch pwned` --label=")


def test_a_configuration_is_a_file(shell: Shell, shelf: Shelf) -> None:
    typed = str(shelf.place.config_path)[:-3]
    expected = ["--config", str(shelf.place.config_path), "list"]
    assert expected == shell.complete(f"totpctl --config {typed}", "list")


def test_behind_sudo_it_is_the_same(shell: Shell) -> None:
    assert ["remove", "carol", "--label", LABELS["bl"]] == shell.complete(
        "sudo totpctl remove carol --label bl"
    )


def test_nothing_is_said_where_there_is_nothing_to_offer(shell: Shell) -> None:
    assert ["bogus", "--no"] == shell.complete("totpctl bogus --no")
    assert ["remove", "nobody", "--label", "x"] == shell.complete(
        "totpctl remove nobody --label ", "x"
    )


def test_fish_offers_commands_with_their_descriptions(shelf: Shelf) -> None:
    offers = in_fish(shelf, "totpctl en")
    assert {"enable", "enroll"} <= offers.keys()
    assert offers["enroll"].startswith("Give USER an authenticator")


def test_fish_offers_labels_and_names_as_they_are(shelf: Shelf) -> None:
    labels = set(in_fish(shelf, "totpctl remove carol --label "))
    assert {"phone", *LABELS.values()} - {"~root"} <= labels
    assert DASH not in labels
    assert {*users(), "bob"} == set(in_fish(shelf, "totpctl show "))
    joined = in_fish(shelf, "totpctl remove carol --label=bl")
    assert f"--label={LABELS['bl']}" in joined
    assert {"sshd", "sudo"} == set(in_fish(shelf, "totpctl enable s"))
    assert {"carol"} == set(in_fish(shelf, "sudo totpctl show c"))


def test_fish_offers_files_for_a_configuration(shelf: Shelf) -> None:
    path = shelf.place.config_path
    assert str(path) in in_fish(shelf, f"totpctl --config {str(path)[:-3]}")


def test_who_is_not_root_is_offered_what_the_directory_says(shelf: Shelf, tmp_path: Path) -> None:
    others = Shelf(shelf.place, tmp_path, root=False)
    assert {"alice", "bob", "root"} == set(in_fish(others, "totpctl show "))
    assert {} == in_fish(others, "totpctl remove carol --label ")
