"""Every sentence that people see at a prompt can be translated, and is, into each language."""

from __future__ import annotations

import ast
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import enrollment, own_changes, verifier
from pam_totp.core.verifier import Verdict
from pam_totp.login import conversation, messages
from pam_totp.login.texts import Text
from tests.support.catalogs import LANGUAGES, PO, catalog, translations
from tests.support.place import ROOT

LONGEST_NAME = "u" * 32  # LOGIN_NAME_MAX of useradd(8)
LONGEST_LABEL = "l" * enrollment.MOST_LABEL
PAM_MAX_MSG_SIZE = 512  # bytes, with the NUL
LONGEST = 100_000
PICTURE = ["\u2588\u2580\u2584 " * 15] * 20
URI = "otpauth://totp/Host:alice?secret=ABCDEFGH&issuer=Host"

VERDICTS = [
    Verdict(outcome, wait=wait, codes_only=codes_only, recovery_codes_left=left, is_offline=offline)
    for outcome in vars(verifier).values()
    if isinstance(outcome, str) and outcome.islower() and outcome.isidentifier()
    for wait in (0, 1, 30, LONGEST)
    for codes_only in (False, True)
    for left in (0, 1, 2, 9)
    for offline in (False, True)
]


def said() -> Iterator[Text]:
    """Yield all that is said, by all that says it, with values of every kind."""
    for verdict in VERDICTS:
        for may in (False, True):
            yield messages.for_verdict(verdict, LONGEST_NAME, may_help_themselves=may)
    for arguments in (("ABCD", URI, PICTURE), ("ABCD", URI, []), ("ABCD", "", [])):
        yield from messages.enrollment(messages.AT_A_FIRST_LOGIN, *arguments)
    yield from messages.for_light_terminal("ABCD", PICTURE)
    yield from messages.recovery_codes(["A", "B"])
    for ahead in (-LONGEST, -7200, -60, 60, 5400, 7200, LONGEST):
        yield messages.clock_of_phone(ahead, 30)
    for failures in (0, 1, 2, LONGEST):
        yield messages.failed_before(failures)
    for kind in own_changes.KINDS:
        for where in ("", "w" * own_changes.MOST_WHERE):
            yield messages.own_change(own_changes.Note(0, kind, LONGEST_LABEL, where))
        yield messages.changed(kind, LONGEST_LABEL)
    yield from (*messages.AT_A_CHANGE, *messages.AT_A_NEW_PHONE)
    yield messages.needed_from(0)
    for module in (messages, conversation):
        yield from (value for value in vars(module).values() if isinstance(value, Text))


SAID = list({(text._one, str(text)): text for text in said()}.values())
SENTENCES = [text for text in SAID if text._one]


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


# The files


def test_files_are_as_make_po_leaves_them() -> None:
    """But for flags, which releases of gettext write in different ways."""
    for path, text in translations().fresh().items():
        written = (ROOT / path).read_text(encoding="utf-8")
        assert without_flags(text) == without_flags(written), f"{path}: run: make po"


def without_flags(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith(("#,", "#="))]


def test_check_names_a_stale_file(tmp_path: Path) -> None:
    for name in ("packaging/translations.py", "pam_totp"):
        subprocess.run(["cp", "-r", "--parents", name, tmp_path], cwd=ROOT, check=True)
    check = [sys.executable, "-IB", tmp_path / "packaging/translations.py", "--check"]
    subprocess.run(check, check=True)
    source = tmp_path / "pam_totp/login/messages.py"
    source.write_text(source.read_text("utf-8") + '\nNEW = text("A new sentence.")\n', "utf-8")
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert "pam_totp/po/pam_totp.pot: stale; run: make po\n" in done.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_and_none_is_a_guess(language: str) -> None:
    text = (PO / f"{language}.po").read_text(encoding="utf-8")
    assert "fuzzy" not in text
    assert "#~" not in text
    entries = re.findall(r'^msgstr(?:\[\d\])? ((?:".*"\n?)+)', text, flags=re.M)
    assert len(entries) > 40
    assert [] == [entry for entry in entries if not "".join(re.findall('"(.*)"', entry))]


def test_there_are_german_and_french() -> None:
    assert {"de", "fr"} <= set(LANGUAGES)


# The sentences


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_said_in_every_language_with_its_values(language: str) -> None:
    """One whose values do not fit would be said in English."""
    spoken = catalog(language)
    for text in SENTENCES:
        translated = text.said_in(spoken)
        assert translated != str(text), text
        assert "{" not in translated
        for value in text._values.values():
            shown = value.said_in(spoken) if isinstance(value, Text) else str(value)
            assert shown in translated, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_values_of_its_sentence(language: str) -> None:
    for key, translated in catalog(language)._catalog.items():  # type: ignore[attr-defined]
        english = key[0] if isinstance(key, tuple) else key
        if english:
            assert fields(english) == fields(translated), english


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_what_is_said_fits_into_a_message_of_pam(language: str) -> None:
    """Beside the prompt that it is put in front of, for programs that show prompts alone."""
    spoken = catalog(language) if language != "en" else None
    last = max(
        len(text.said_in(spoken).encode()) for text in (messages.PROMPT, messages.ONE_PROMPT)
    )
    for text in SAID:
        assert len(text.said_in(spoken).encode()) + len("\n") + last < PAM_MAX_MSG_SIZE, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_prompts_end_as_the_english_ones_do(language: str) -> None:
    for text in SENTENCES:
        translated = text.said_in(catalog(language))
        assert text.endswith(" ") == translated.endswith(" "), text
        assert text.endswith(":") == translated.endswith(":"), text
        assert "  " not in translated
        for command in re.findall(r"totpctl [\w -]+", text):
            assert command.strip() in translated


@pytest.mark.parametrize(
    ("language", "count", "expected"),
    [
        ("de", 0, "0 falsche Codes"),
        ("de", 1, "1 falscher Code "),
        ("de", 2, "2 falsche Codes"),
        ("fr", 1, "1 code incorrect "),
        ("fr", 2, "2 codes incorrects"),
    ],
)
def test_numbers_are_said_by_the_rules_of_the_language(
    language: str, count: int, expected: str
) -> None:
    text = messages.failed_before(count or 7)
    text._count, text._values = count, {"count": count}
    assert text.said_in(catalog(language)).startswith(expected)


def test_french_puts_no_line_end_before_its_punctuation() -> None:
    for text in SENTENCES:
        assert not re.search(" [:;?!]", text.said_in(catalog("fr"))), text


def test_french_counts_none_as_one() -> None:
    left = messages.for_verdict(Verdict(verifier.REPLAYED, wait=1), "alice")
    left._count, left._values = 0, {"count": 0}
    assert "0 seconde au plus" in left.said_in(catalog("fr"))


def test_secrets_pictures_and_settings_are_never_translated() -> None:
    shown = messages.enrollment(messages.AT_A_FIRST_LOGIN, "ABCD", URI, PICTURE)
    translated = [line.said_in(catalog("de")) for line in shown]
    assert f"  {URI}" in translated
    assert [*PICTURE, "Geheimer Schl\u00fcssel: ABCD"] == translated[-len(PICTURE) - 1 :]


# The code


def sources() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted((ROOT / "pam_totp" / "login").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.name}:{getattr(node, 'lineno', 0)}", node


def test_sentences_are_in_the_files_that_translators_get() -> None:
    """And each is one literal: no name, no f-string and no sum, which xgettext would not see."""
    places = set()
    for where, node in sources():
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name in ("text", "counted") and not where.startswith("texts.py"):
            places.add(f"pam_totp/login/{where.split(':')[0]}")
            literals = node.args[: 1 if name == "text" else 2]
            assert all(isinstance(literal, ast.Constant) for literal in literals), where
    assert sorted(places) == sorted(translations().SOURCES)


def test_nothing_that_a_conversation_says_is_a_plain_string() -> None:
    """mypy holds it too: a Text is taken, and only text(), counted() and as_is() make one."""
    told = ("tell", "tell_last", "ask", "show", "is_answered_blindly")
    for where, node in sources():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in told and "_conversation" in ast.unparse(node.func):
                plain = ast.Constant | ast.JoinedStr | ast.BinOp
                assert not isinstance(node.args[0], plain), where
            if node.func.attr == "as_is":
                assert not isinstance(node.args[0], ast.Constant), where


def test_only_the_conversation_speaks_to_the_driver() -> None:
    """Or something would be said in English to everybody."""
    for where, node in sources():
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("Driver.ask", "Driver.tell"):
            assert where.startswith("conversation.py"), where


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_module_says_what_the_worker_says(language: str) -> None:
    header = translations().native()
    assert f'{{"{language}",' in header
    for text in (messages.UNAVAILABLE, conversation.PRESS_ENTER):
        words = text.said_in(catalog(language)).encode()
        escaped: Any = re.sub(rb"[^ -~]", lambda found: b"\\%03o" % found[0][0], words)
        assert escaped.decode() in header
