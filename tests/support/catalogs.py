"""The translations of this tree, compiled as ``make install`` does."""

from __future__ import annotations

import functools
import gettext
import importlib.util
from pathlib import Path
from types import ModuleType

from tests.support.place import ROOT

PO = ROOT / "pam_totp" / "po"
LANGUAGES = sorted(path.stem for path in PO.glob("*.po"))


@functools.cache
def translations() -> ModuleType:
    """Return packaging/translations.py."""
    path = ROOT / "packaging" / "translations.py"
    spec = importlib.util.spec_from_file_location("translations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(language: str) -> bytes:
    """Return the bytes of a pam_totp.mo."""
    content: bytes = translations().compiled((PO / f"{language}.po").read_text("utf-8"))
    return content


@functools.cache
def catalog(language: str) -> gettext.GNUTranslations:
    found: gettext.GNUTranslations = translations().catalog_of(compiled(language))
    return found


def install(language: str, folder: Path, content: bytes | None = None) -> Path:
    """Put a catalog into ``folder``, as /usr/share/locale has them; by default that of the tree."""
    path = folder / language / "LC_MESSAGES" / "pam_totp.mo"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compiled(language) if content is None else content)
    path.chmod(0o644)
    return path
