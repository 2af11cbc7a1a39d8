"""The pictures of the pages: small, whole, with words for who cannot see them, and readable."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.blocks import PAGES
from tests.pictures.svg import NAMESPACE, text_of
from tests.support.place import ROOT

PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
ENROLMENT = ROOT / "docs" / "pictures" / "enroll.svg"
MAX_BYTES = 60_000


def file_name(path: Path) -> str:
    return path.name


def scanned(picture: Path, folder: Path) -> str:
    """Return what a QR code reader finds in ``picture``."""
    image = folder / "picture.png"
    subprocess.run(["rsvg-convert", f"--output={image}", picture], check=True)
    found = subprocess.run(["zbarimg", "-q", "--raw", image], stdout=subprocess.PIPE, check=False)
    return found.stdout.decode("utf-8").strip()


def test_qr_code_can_be_scanned_and_says_what_stands_beside_it(tmp_path: Path) -> None:
    lines = text_of(ENROLMENT.read_text(encoding="utf-8"))
    found = scanned(ENROLMENT, tmp_path)
    assert found.startswith("otpauth://totp/example:alice@example?secret=")
    assert found in [line.strip() for line in lines]


@pytest.mark.parametrize("picture", PICTURES, ids=file_name)
def test_picture_is_small_and_needs_nothing_from_elsewhere(picture: Path) -> None:
    content = picture.read_text(encoding="utf-8")
    assert len(content.encode("utf-8")) < MAX_BYTES
    assert {NAMESPACE} == set(re.findall(r"\w+://[^\s\"'<?]+", content)) - {
        "otpauth://totp/example:alice@example"
    }
    assert not re.search(
        r"<(script|image|foreignObject|style|use)\b|@import|href=|url\((?!#)", content
    )


@pytest.mark.parametrize("picture", PICTURES, ids=file_name)
def test_picture_has_a_title_and_a_description(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    named = {element.attrib.get("id"): element.text for element in root}
    assert root.attrib["aria-labelledby"].split() == ["title", "description"]
    assert all(named[name].strip() for name in ("title", "description"))


def test_every_picture_is_on_a_page_with_words_for_it() -> None:
    shown = {}
    for page in PAGES:
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text("utf-8")):
            shown[(page.parent / target).resolve()] = words
    assert {*PICTURES} == set(shown)
    assert all(len(words) > 40 for words in shown.values())
