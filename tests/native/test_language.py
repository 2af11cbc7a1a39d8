"""language.c beside system/languages.py: in what language the module and the worker speak."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.login import conversation, messages
from pam_totp.system import config, languages
from tests.native.module_side import (
    ERROR_MSG,
    PAM_AUTHINFO_UNAVAIL,
    PROMPT_ECHO_OFF,
    Side,
    at_fixed_addresses,
)
from tests.support import thorough
from tests.support.catalogs import LANGUAGES, catalog
from tests.support.place import ROOT

NAMES = ("de", "fr", "de_AT", "fr_CA", "sv_SE", "en_GB", "en", "C", "POSIX", "", "de@euro", "xx")
CODESETS = ("", ".UTF-8", ".utf8", ".Utf-8", ".ISO-8859-1", ".ISO-8859-15@euro", ".UTF-8@euro", ".")
ODD = ("de_", "_DE", "DE", "d", "deutsch", "de_DEUT", "../de", "de/../fr", "\u00e4\u00f6", "de fr")
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE", "LC_TIME", "LANGU", "XLANG")

SENTENCES = (messages.UNAVAILABLE, conversation.PRESS_ENTER)
Speak = Callable[..., list[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("speak") / "speak"
    sources = [ROOT / "tests/native/speak.c", ROOT / "pam_totp/native/language.c"]
    options = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    files = {"CONFIG": "pam_totp.conf", "LOCALE": "1", "LOCALE_OF_DEBIAN": "2"}
    paths = [f'-DPAM_TOTP_{name}="{path}"' for name, path in files.items()]
    command = ["gcc", *options, *sanitizers, *paths, "-o", target, *sources]
    subprocess.run(command, check=True, timeout=120)
    return target


@pytest.fixture
def speak(program: Path, tmp_path: Path) -> Speak:
    """Return a function that says in which language the module speaks, and what."""

    def run(first: str | None, second: str | None = None, conf: str = "", *argv: str) -> list[str]:
        for name, content in (("1", first), ("2", second), ("pam_totp.conf", conf)):
            (tmp_path / name).unlink(missing_ok=True)
            if content is not None:
                (tmp_path / name).write_bytes(content.encode())
        # As sudo's caller, or an SSH client, would have it.
        environment = {**os.environ, "LC_ALL": "fr_FR.UTF-8", "LANG": "fr_FR.UTF-8"}
        environment["LANGUAGE"] = "fr"
        command = [*at_fixed_addresses(), program, *argv]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60
        )
        return done.stdout.decode().splitlines()

    return run


def expected(
    first: str | None, second: str | None, conf: str, argv: tuple[str, ...], folder: Path
) -> str:
    """Return the language of the first catalog that the worker finds."""
    files = []
    for name, content in (("one", first), ("two", second)):
        files.append(str(folder / name))
        Path(files[-1]).unlink(missing_ok=True)
        if content is not None:
            Path(files[-1]).write_bytes(content.encode())
    arguments = config.parse_arguments(argv)
    setting = config.parse(conf.encode(), arguments.settings).config.language
    kept, languages.LOCALE_FILES = languages.LOCALE_FILES, tuple(files)  # type: ignore[assignment]
    try:
        names, problem = languages.asked_for(setting)
    finally:
        languages.LOCALE_FILES = kept
    assert problem is None
    return next((name for name in names if name in LANGUAGES), "")


def some_locale(chance: random.Random) -> str:
    if chance.random() < 0.15:
        return chance.choice(ODD) + chance.choice(("", ".UTF-8"))
    return chance.choice(NAMES) + chance.choice(CODESETS)


def some_file(chance: random.Random) -> str | None:
    if chance.random() < 0.1:
        return None
    lines = []
    for _ in range(chance.randrange(4)):
        name, value = chance.choice(VARIABLES), some_locale(chance)
        if name == "LANGUAGE":
            value = ":".join(some_locale(chance) for _ in range(chance.randrange(4)))
        value = chance.choice(("{}", '"{}"', "'{}'", " {} ", '"{}', '""')).format(value)
        lines.append(chance.choice(("", "export ", "  ", "#", "export")) + f"{name}={value}")
        lines += chance.choice(([], [], ["# LANG=de_DE.UTF-8"], ["LANG"], ["="], [""]))
    return chance.choice(("\n", "\r\n", "\n\n")).join(lines) + chance.choice(("", "\n"))


def test_module_and_worker_speak_the_same_language(speak: Speak, tmp_path: Path) -> None:
    spoken = set()
    for seed in range(1000 if thorough.NIGHTLY else 150):
        chance = random.Random(seed)
        first, second = some_file(chance), some_file(chance)
        conf, argv = "", ()
        if chance.random() < 0.3:
            conf = f"# language = fr\nwindow = 1\nlanguage = {some_locale(chance)}\n"
        if chance.random() < 0.2:
            argv = ("window=1", f"language={some_locale(chance)}")
        language = expected(first, second, conf, argv, tmp_path)
        assert language == speak(first, second, conf, *argv)[0], (seed, first, second, conf, argv)
        spoken.add(language)
    assert {"", "de", "fr"} <= spoken


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("sv_SE:fr:de", "fr"),
        ("en:fr", ""),
        ("en_GB:fr", ""),
        ("sv:C:fr", ""),
        ("sv:POSIX:fr", ""),
        ("sv:", ""),
        ("::fr", "fr"),
        ("", "de"),
    ],
)
def test_a_list_of_languages_ends_at_english(
    speak: Speak, tmp_path: Path, wanted: str, language: str
) -> None:
    content = f"LANG=de_AT.UTF-8\nLANGUAGE={wanted}\n"
    assert language == speak(content)[0] == expected(content, None, "", (), tmp_path)


@pytest.mark.parametrize("language", ["", *LANGUAGES])
def test_the_sentences_are_those_of_the_worker(speak: Speak, language: str) -> None:
    said_in = catalog(language) if language else None
    expected_lines = [language, *(text.said_in(said_in) for text in SENTENCES)]
    assert expected_lines == speak(f"LANG={language or 'C'}.UTF-8\n")


@pytest.mark.parametrize(
    "content", ["LANG=" + "d" * 5000, "LANG=de_DE.UTF-8\n" * 4000 + "#" * 5000]
)
def test_what_is_too_long_is_english(speak: Speak, content: str) -> None:
    assert speak(content)[0] == ""


def test_what_is_no_file_is_passed_over(program: Path, tmp_path: Path) -> None:
    """A FIFO in the place of one must not hang a login."""
    os.mkfifo(tmp_path / "1")
    (tmp_path / "pam_totp.conf").mkdir()
    (tmp_path / "2").write_text("LANG=de_DE.UTF-8\n", encoding="ascii")
    command = [*at_fixed_addresses(), program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert done.stdout.startswith(b"de\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_module_speaks_the_language_of_the_host(side: Side, language: str) -> None:
    """In an error; and in a prompt, where a program shows prompts alone."""
    side.locale.write_text(f"LANG={language}.UTF-8\n", encoding="ascii")
    try:
        outcome = side.log_in("123456")
        silent = side.log_in("", options=("-f", "0x8000"))
    finally:
        side.locale.unlink()
    said, enter = (text.said_in(catalog(language)) for text in SENTENCES)
    assert (PAM_AUTHINFO_UNAVAIL, [(ERROR_MSG, said)]) == (outcome.code, outcome.shown)
    prompt = f"{said}\v{enter}"  # on one line of what the application wrote down
    assert (PAM_AUTHINFO_UNAVAIL, [(PROMPT_ECHO_OFF, prompt)]) == (silent.code, silent.shown)


def test_the_argument_of_a_line_decides_for_it(side: Side) -> None:
    outcome = side.log_in("123456", arguments=("language=de",))
    assert [(ERROR_MSG, SENTENCES[0].said_in(catalog("de")))] == outcome.shown
