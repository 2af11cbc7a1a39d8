"""The packaged file shows every key as the code has it, and examples on the page are good ones.

Keys, defaults and arguments on the pages are generated: see test_generated_docs.py.
"""

from __future__ import annotations

import re

from docs import generate
from pam_totp.system import config
from tests.unit.pages import read, section

DEFAULTS = {key: generate.default_of(key) for key in config.Config._fields}


def test_packaged_configuration_shows_every_default_commented_out() -> None:
    text = read("packaging/pam_totp.conf")
    assert config.parse(text.encode()) == config.Loaded(config.Config(), ())
    commented = re.findall(r"^# (\w+) =(.*)$", text, flags=re.M)
    assert {key: value.strip() for key, value in commented} == DEFAULTS
    active = "".join(f"{key} ={value}\n" for key, value in commented)
    assert config.parse(active.encode()) == config.Loaded(config.Config(), ())


def test_value_that_the_reference_shows_is_a_good_one() -> None:
    text = section(read("docs/reference/configuration.md"), "# Configuration")
    shown = re.findall(r"^(\w+ = .*)$", text, flags=re.M)
    assert shown
    assert config.parse("\n".join(shown).encode()).problems == ()
