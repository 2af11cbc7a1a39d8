"""--qr: how the QR code is shown, or the file that it goes to."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import Totpctl
from tests.cli.terminal import LIGHT, PROMPT, Terminals, photograph, scan, uri_in
from tests.support.place import Place

ENROLL = ("enroll", "alice", "--no-confirm")


def read_file(path: Path) -> str:
    """Return what a QR code reader finds in a picture."""
    if path.suffix == ".svg":
        drawn = path.with_suffix(".drawn.png")
        subprocess.run(["rsvg-convert", f"--output={drawn}", path], check=True)
        path = drawn
    found = subprocess.run(["zbarimg", "-q", "--raw", path], capture_output=True, check=False)
    return found.stdout.decode("utf-8").strip()


@pytest.mark.parametrize("kind", ["utf8", "ansi", "ascii"])
def test_every_kind_is_read_off_what_it_writes_also_into_a_pipe(
    totpctl: Totpctl, place: Place, tmp_path: Path, kind: str
) -> None:
    place.configure(issuer="web")
    shown = totpctl.done(*ENROLL, "--qr", kind).out
    square = (8, 16)
    assert uri_in(shown) == scan(photograph(shown, LIGHT, square, gap=0), tmp_path)


def test_ansi_and_ascii_need_no_character_beyond_ascii(totpctl: Totpctl) -> None:
    assert totpctl.done(*ENROLL, "--qr", "ascii").out.isascii()
    ansi = totpctl("reset", "alice", "--yes", "--no-confirm", "--qr", "ansi", LC_ALL="C")
    assert 0 == ansi.code
    assert ansi.out.isascii()
    assert "\x1b[" in ansi.out


def test_none_leaves_the_picture_out(terminals: Terminals) -> None:
    terminal = terminals.open("enroll", "alice", "--qr", "none")
    terminal.wait_for(PROMPT)
    assert "\x1b" not in terminal.shown
    assert not re.search("[\u2580-\u259f]", terminal.shown)
    assert "Enter this address or secret into an authenticator app:" in terminal.shown


@pytest.mark.parametrize("name", ["alice.png", "alice.svg", "ALICE.PNG"])
def test_a_file_holds_the_picture_for_its_owner_alone(
    totpctl: Totpctl, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    document = totpctl.done(*ENROLL, "--json", "--qr", str(path)).json()
    assert 0o600 == path.stat().st_mode & 0o7777
    assert document["uri"] == read_file(path)
    assert [name] == [n for n in os.listdir(tmp_path) if "alice" in n.lower() and "drawn" not in n]


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(
    totpctl: Totpctl, tmp_path: Path
) -> None:
    target, path = tmp_path / "target", tmp_path / "alice.png"
    target.write_text("precious", encoding="utf-8")
    path.symlink_to(target)
    document = totpctl.done(*ENROLL, "--json", "--qr", str(path)).json()
    assert "precious" == target.read_text(encoding="utf-8")
    assert not path.is_symlink()
    assert document["uri"] == read_file(path)


def test_an_enrollment_that_comes_to_nothing_leaves_no_file(
    totpctl: Totpctl, tmp_path: Path
) -> None:
    path = tmp_path / "alice.png"
    result = totpctl("enroll", "alice", "--qr", str(path), answers="1\n2\n3\n")
    assert 1 == result.code
    assert f"The QR code is in {path}" in result.out
    assert not path.exists()


def test_a_file_that_cannot_be_written_enrolls_nobody(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "alice.png"
    result = totpctl(*ENROLL, "--qr", str(path))
    assert (1, "") == (result.code, result.out)
    assert (
        f"totpctl: error: cannot write {path}: No such file or directory; nothing was changed\n"
        in result.err
    )
    with place.open() as store:
        assert store.load("alice") is None


@pytest.mark.parametrize("value", ["alice.gif", "UTF-8", "", "."])
def test_another_word_is_a_usage_error(totpctl: Totpctl, value: str) -> None:
    result = totpctl(*ENROLL, "--qr", value)
    assert (2, "") == (result.code, result.out)
    assert "utf8, ansi, ascii, none, or a file whose name ends in .png or .svg\n" in result.err
