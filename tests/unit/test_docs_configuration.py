"""Both pages and the packaged file have every key and argument, as the code has them."""

from __future__ import annotations

import re

import pytest

from pam_totp.system import config
from tests.unit.pages import (
    codes,
    man_section,
    read,
    rows,
    section,
)

# What a PAM line may carry besides the keys of the configuration.
ARGUMENTS = {"nullok", "debug", "config=", "first_factor=key"}


def written(value: object) -> str:
    """Return a default as a configuration file writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(value)
    text = str(value)
    return f'"{text}"' if text != text.strip() else text


DEFAULTS = {key: written(value) for key, value in config.Config._field_defaults.items()}
DEFAULTS["unenrolled_until"] = "none"  # which config reads as 0


def test_reference_lists_every_key_with_its_default() -> None:
    table = rows(section(read("docs/reference/configuration.md"), "## Keys"))
    assert {codes(row[0])[0]: "".join(codes(row[1])) for row in table} == DEFAULTS


def test_man_page_lists_every_key_with_its_default() -> None:
    items = re.findall(
        r"^\.It Cm (\w+) No =(.*)$", man_section("pam_totp.conf.5", "DESCRIPTION"), flags=re.M
    )
    plain = {key: value.strip().removeprefix("Pa ") for key, value in items}
    plain = {k: re.sub(r"^Qq (.*?)\\ \\&$", r'"\1 "', v) for k, v in plain.items()}
    assert plain == DEFAULTS


def test_packaged_configuration_shows_every_default_commented_out() -> None:
    text = read("packaging/pam_totp.conf")
    assert config.parse(text.encode()) == config.Loaded(config.Config(), ())
    commented = re.findall(r"^# (\w+) =(.*)$", text, flags=re.M)
    assert {key: value.strip() for key, value in commented} == DEFAULTS
    active = "".join(f"{key} ={value}\n" for key, value in commented)
    assert config.parse(active.encode()) == config.Loaded(config.Config(), ())


def test_numbers_are_described_with_the_limits_that_hold() -> None:
    for row in rows(section(read("docs/reference/configuration.md"), "## Keys")):
        limits = re.fullmatch(r"(\d+) to (\d+)", row[2])
        if limits is None:
            assert not DEFAULTS[codes(row[0])[0]].isdecimal(), row
            continue
        key, (low, high) = codes(row[0])[0], map(int, limits.groups())
        for value, accepted in ((low, True), (low - 1, False), (high, True), (high + 1, False)):
            bad = [
                p for p in config.parse(f"{key} = {value}".encode()).problems if f"{key} must" in p
            ]
            assert accepted is not bool(bad), f"{key} = {value}"
        described = man_section("pam_totp.conf.5", "DESCRIPTION").split(f".It Cm {key} ")[1]
        assert f"{low} to {high}" in described.split(".It ")[0], key


def test_both_pages_list_every_argument_of_a_pam_line() -> None:
    table = rows(section(read("docs/reference/configuration.md"), "## PAM arguments"))
    assert {codes(row[0])[0] for row in table} == ARGUMENTS
    items = re.findall(
        r"^\.It Cm (\w+)(?: Ns (=) Ns (?:Cm (\w+))?.*)?$",
        man_section("pam_totp.8", "OPTIONS"),
        flags=re.M,
    )
    assert {"".join(parts) for parts in items} == ARGUMENTS


@pytest.mark.parametrize("argument", sorted(ARGUMENTS))
def test_described_argument_is_understood(argument: str) -> None:
    given = argument + "/somewhere" if argument == "config=" else argument
    assert config.parse_arguments([given]).problems == ()
    assert config.parse_arguments([given]) != config.Arguments()


def test_value_that_the_reference_shows_is_a_good_one() -> None:
    text = section(read("docs/reference/configuration.md"), "# Configuration")
    shown = re.findall(r"^(\w+ = .*)$", text, flags=re.M)
    assert shown
    assert config.parse("\n".join(shown).encode()).problems == ()
