"""The files in tests/vectors/import, each with what it must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from admin_cli.importing.xml_encryption import Unlocking
from tests.support.place import ROOT

FOLDER = ROOT / "tests" / "vectors" / "import"
_SAME_AS = {"otpauth-migration/single.png": "otpauth-migration/single.txt"}
_SUFFIX = ".expected.json"


class Sample(NamedTuple):
    """One file; ``expected`` is what README.md in the folder describes."""

    name: str
    expected: dict[str, Any]

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    @property
    def tokens(self) -> list[dict[str, Any]]:
        return list(self.expected["tokens"])

    @property
    def rejected(self) -> list[dict[str, Any]]:
        return list(self.expected["rejected"])

    @property
    def person(self) -> str:
        """Return whose a .google_authenticator would be: it names nobody."""
        return self.path.name.partition(".")[0]

    def unlocking(self) -> Unlocking:
        needs = self.expected["needs"] or {}
        return Unlocking(
            key=lambda: bytes.fromhex(needs["key_hex"]),
            passphrase=lambda: str(needs["password"]),
            accepts_no_mac=True,
        )


def _sample(path: Path) -> Sample:
    name = str(path.relative_to(FOLDER)).removesuffix(_SUFFIX)
    as_written = FOLDER / (_SAME_AS.get(name, name) + _SUFFIX)
    return Sample(name, json.loads(as_written.read_text(encoding="utf-8")))


ALL = [_sample(path) for path in sorted(FOLDER.rglob(f"*{_SUFFIX}"))]
ROSTERS = [sample for sample in ALL if "people" in sample.expected]
FILES = [sample for sample in ALL if "people" not in sample.expected]
