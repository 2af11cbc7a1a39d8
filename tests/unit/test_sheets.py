"""A sheet as a page of PDF: whatever people, hosts and fonts are called, it can be read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from admin_cli.commands.bulk import pdf, sheet_files
from admin_cli.commands.bulk.sheets import Sheet
from admin_cli.commands.enrollment.entries import AppEntry
from admin_cli.commands.enrollment.handover import Offer
from pam_totp.core.users import Authenticator

CODES = [f"{number}BCD-EFGH-JKMN-PQRS" for number in range(10)]
DAY = 1_900_000_000  # 2030-03-17


def sheet(
    user: str = "alice", full_name: str = "", issuer: str = "web", account: str = "alice@web"
) -> Sheet:
    device = Authenticator("id", "phone", bytes(range(20)), created_at=DAY)
    return Sheet(Offer(user, device, AppEntry(issuer, account)), full_name, CODES)


def words_of(made: Sheet, folder: Path) -> str:
    path = folder / "sheet.pdf"
    path.write_bytes(pdf.page(made))
    done = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def scanned(made: Sheet, folder: Path) -> str:
    """Return what a camera reads off the page, which is one, and has a margin on all sides."""
    (folder / "sheet.pdf").write_bytes(pdf.page(made))
    command = ["pdftoppm", "-png", "-r", "100", "sheet.pdf", "drawn"]
    subprocess.run(command, cwd=folder, check=True)
    (page,) = folder.glob("drawn-*.png")
    with Image.open(page) as image:
        grey = image.convert("L").point(lambda value: 255 * (value < 128))
        left, top, right, bottom = grey.getbbox() or (0, 0, 0, 0)
        assert 40 < left < right < image.width - 40
        assert 40 < top < bottom < image.height - 110  # Letter is lower than A4
    found = subprocess.run(["zbarimg", "-q", "--raw", page], capture_output=True, check=True)
    return found.stdout.decode("utf-8").rstrip("\n")


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_all_that_stands_on_it_can_be_read(tmp_path: Path) -> None:
    made = sheet(full_name="Alice Liddell")
    words = in_one_line(words_of(made, tmp_path))
    assert "Second factor for logins at web For alice (Alice Liddell)" in words
    for number, sentence in enumerate(made.what_to_do, 1):
        assert sentence.endswith(".")
        assert f"{number}. {sentence}" in words
    assert "Entry in the app web: alice@web" in words
    assert "Secret AAAQ EAYE AUDA OCAJ BIFQ YDIO B4IB CEQT" in words
    assert "SHA1, 6 digits, 30 seconds" in words
    assert "Made on 2030-03-17 by totpctl" in words
    for left, right in zip(CODES[::2], CODES[1::2], strict=True):
        assert f"{left} {right}" in words
    assert made.offer.uri == scanned(made, tmp_path)


@pytest.mark.parametrize(
    "made",
    [
        sheet("n" * 200, "Maximiliane " * 20, "issuer " * 30, f"{'n' * 200}@{'host.' * 40}"),
        sheet("W" * 64, "W" * 300, "W" * 200, "W" * 200),
        sheet("юзер", "Анна " * 40, "Компания " * 12, "юзер@веб"),
    ],
    ids=["long", "wide", "long and Cyrillic"],
)
def test_names_that_are_too_long_become_smaller_and_the_page_stays_one(
    tmp_path: Path, made: Sheet
) -> None:
    assert made.offer.uri == scanned(made, tmp_path)
    words = in_one_line(words_of(made, tmp_path))
    assert "AAAQ EAYE AUDA OCAJ BIFQ YDIO B4IB CEQT" in words
    assert all(code in words for code in CODES)
    assert "whoever has it can log in as you." in words
    assert made.offer.user in words.replace(" ", "")


def fonts_of(made: Sheet, folder: Path) -> str:
    (folder / "sheet.pdf").write_bytes(pdf.page(made))
    command = ["pdffonts", folder / "sheet.pdf"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_latin_letters_need_no_font_of_this_machine(tmp_path: Path) -> None:
    made = sheet("zoë", "Zoë Łuczak"[:3], "Müller & Söhne €", "zoë@münchen")
    assert not pdf.is_replaced(f"{made.title} {made.person} {made.offer.entry}")
    assert "DejaVu" not in fonts_of(made, tmp_path)
    words = words_of(made, tmp_path)
    assert "For zoë (Zoë)" in words
    assert "Müller & Söhne €: zoë@münchen" in words
    assert made.offer.uri == scanned(made, tmp_path)


def test_other_letters_bring_their_font_along(tmp_path: Path) -> None:
    made = sheet("ελένη", "Łukasz Żółć", "Ελλάδα", "ελένη@διακομιστής")
    assert not pdf.is_replaced(f"{made.title} {made.person} {made.offer.entry}")
    (line,) = (line for line in fonts_of(made, tmp_path).splitlines() if "DejaVuSans" in line)
    assert line.split()[-5] == "yes", "it is not embedded"
    words = words_of(made, tmp_path)
    assert "For ελένη (Łukasz Żółć)" in words
    assert "Ελλάδα: ελένη@διακομιστής" in in_one_line(words)
    assert made.offer.uri == scanned(made, tmp_path)


def test_letters_that_no_font_has_are_numbers(tmp_path: Path) -> None:
    made = sheet("alice", "山田 Ω", "web", "alice@web")
    assert pdf.is_replaced(made.person)
    assert r"For alice (\u5c71\u7530 Ω)" in words_of(made, tmp_path)


def test_without_a_font_all_but_latin_letters_are_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "FONTS", (str(tmp_path / "no such font"),))
    pdf._embedded_glyphs.cache_clear()
    try:
        made = sheet("zoë", "Ωmega", "web", "zoë@web")
        assert pdf.is_replaced(made.person)
        assert r"For zoë (\u03a9mega)" in words_of(made, tmp_path)
    finally:
        pdf._embedded_glyphs.cache_clear()


def test_text_beside_a_picture_says_the_same() -> None:
    made = sheet("ελένη", full_name="Ελένη")
    names = sheet_files.files(made, "svg")
    assert ["ελένη.svg", "ελένη.txt"] == list(names)
    text = names["ελένη.txt"].decode("utf-8")
    for part in (made.title, made.person, *made.what_to_do, *CODES, made.offer.uri, made.made_at):
        assert part in text


def test_a_sheet_shows_no_secret_in_a_traceback() -> None:
    assert "<Sheet of 'alice'>" == f"{sheet()!r}"
