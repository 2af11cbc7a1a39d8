"""version.py check VERSION: name each file that is not of that version; then this exits with 1.
version.py set VERSION: write it, and today as its date, into every one of them.

For release.sh. In CHANGELOG.md what is unreleased becomes that release.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
CODE = "pam_totp/__init__.py"
NUMBER = r"((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))"
MAN_PAGES = tuple(f"docs/man/{name}" for name in ("pam_totp.8", "pam_totp.conf.5", "totpctl.8"))

# Where the version stands: all matches of the second in the first.
PLACES = (
    (CODE, rf'^__version__ = "{NUMBER}"$'),
    ("packaging/rpm/pam_totp.spec", rf"^Version: +{NUMBER}$"),
    *((page, rf"^\.Os pam_totp {NUMBER}$") for page in MAN_PAGES),
    ("docs/howto/ansible.md", rf"libpam-totp_{NUMBER}_"),
    ("docs/howto/fedora.md", rf"pam_totp-{NUMBER}-"),
    ("docs/reference/installation.md", rf"libpam-totp_{NUMBER}_"),
)
# The newest entry of a history; the older ones keep theirs.
DEBIAN, RPM, CHANGES = "packaging/debian/changelog", PLACES[1][0], "CHANGELOG.md"
NEWEST = (
    (DEBIAN, rf"\Apam-totp \({NUMBER}\)"),
    (RPM, rf"^%changelog\n\* .* - {NUMBER}-1$"),
    (CHANGES, rf"\A[\s\S]*?^## \[{NUMBER}\] - \d{{4}}-\d\d-\d\d$"),
)
TAKES_IT_FROM_THE_CODE = ("setup.cfg", r"^version = attr: pam_totp\.__version__$")
UNRELEASED = r"^## \[Unreleased\]\n([\s\S]*?)(?=^## \[|\Z)"


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "set"):
        sys.exit(__doc__)
    what, version = sys.argv[1:]
    if not re.fullmatch(NUMBER, version):
        sys.exit(f"{version}: not a version: three numbers, as in 1.2.3")
    if what == "set":
        set_all(version, datetime.now(UTC))
    sys.exit("\n".join(wrong(version)) or 0)


def wrong(version: str) -> Iterator[str]:
    """Yield a line for each place that does not say ``version``."""
    for path, pattern in (*PLACES, *NEWEST):
        there = [match[1] for match in re.finditer(pattern, read(path), re.M)]
        if set(there) != {version}:
            yield f"{path}: says {', '.join(sorted(set(there))) or 'no version'}, not {version}"
    path, pattern = TAKES_IT_FROM_THE_CODE
    if not re.search(pattern, read(path), re.M):
        yield f"{path}: does not take the version from {CODE}"
    if unreleased():
        yield f"{CHANGES}: tells under Unreleased what this release would have"


def set_all(version: str, now: datetime) -> None:
    """Write ``version`` everywhere, or, where it may not be, nothing; exits with the reason."""
    (present,) = re.findall(PLACES[0][1], read(CODE), re.M)
    if _numbers(version) < _numbers(present):
        sys.exit(f"{version}: older than {present}, which the tree is")
    if f"\n## [{version}]" in read(CHANGES):
        sys.exit(f"{CHANGES}: has a release {version} already")
    if not unreleased():
        sys.exit(f"{CHANGES}: has nothing under Unreleased: say there what is new")
    for path, pattern in PLACES:
        write(path, re.sub(pattern, lambda found: _with(found, version), read(path), flags=re.M))
    for page in MAN_PAGES:
        date = f"{now:%B} {now.day}, {now:%Y}"
        write(page, re.sub(r"^\.Dd .*$", f".Dd {date}", read(page), flags=re.M))
    write(DEBIAN, debian_changelog(read(DEBIAN), version, now))
    write(RPM, rpm_changelog(read(RPM), version, now))
    heading = f"## [Unreleased]\n\n## [{version}] - {now:%Y-%m-%d}\n\n{unreleased()}\n\n"
    text = re.sub(UNRELEASED, lambda _: heading, read(CHANGES), count=1, flags=re.M)
    write(CHANGES, text.rstrip("\n") + "\n")


def unreleased() -> str:
    """Return what CHANGELOG.md tells under Unreleased, but for the name it is to have."""
    found = re.search(UNRELEASED, read(CHANGES), re.M)
    return re.sub(r"^To become .*\n", "", found[1], flags=re.M).strip() if found else ""


def debian_changelog(text: str, version: str, now: datetime) -> str:
    """Return it with an entry of ``version``; one that is the newest already gets its date."""
    newest = re.match(rf"pam-totp \({NUMBER}\)[\s\S]*?^ -- (.*>)  (.*)$", text, re.M)
    assert newest, "no entry"
    if newest[1] == version:
        return text[: newest.start(3)] + format_datetime(now) + text[newest.end(3) :]
    return (
        f"pam-totp ({version}) unstable; urgency=medium\n\n"
        f"  * New release: see /usr/share/doc/pam_totp/CHANGELOG.md.\n\n"
        f" -- {newest[2]}  {format_datetime(now)}\n\n{text}"
    )


def rpm_changelog(text: str, version: str, now: datetime) -> str:
    """The same for the spec file."""
    newest = re.search(rf"^%changelog\n\* (\w+ \w+ \d+ \d+) (.*) - {NUMBER}-1$", text, re.M)
    assert newest, "no entry"
    if newest[3] == version:
        return f"{text[: newest.start(1)]}{now:%a %b %d %Y}{text[newest.end(1) :]}"
    entry = f"* {now:%a %b %d %Y} {newest[2]} - {version}-1\n- New release: see CHANGELOG.md\n\n"
    at = newest.start() + len("%changelog\n")
    return text[:at] + entry + text[at:]


def read(path: str) -> str:
    return (TREE / path).read_text(encoding="utf-8")


def write(path: str, text: str) -> None:
    (TREE / path).write_text(text, encoding="utf-8")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _with(found: re.Match[str], version: str) -> str:
    start, end = (place - found.start() for place in found.span(1))
    return found[0][:start] + version + found[0][end:]


if __name__ == "__main__":
    main()
