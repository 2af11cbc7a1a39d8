"""The tables of docs/internals/benchmarks.md, as Markdown on stdout."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from . import added
from .distance import DISTANCE, STATEMENTS
from .enrolling import (
    ALL_BUT_HASHING,
    DIGESTS,
    GOOGLE_RUNS,
    JSON_ALL_BUT_HASHING,
    SHEETS,
)
from .enrolling import (
    MANY as PEOPLE,
)
from .judging import UPDATES, VERIFICATIONS
from .load import COUNTS, MANY, PENDING
from .peers import GOOGLE, SERVICE
from .transactions import CROWD, LONE_PAUSE, SCALES

Report = dict[str, Any]  # what inside.py prints
BARE = "password only"


def show(report: Report) -> None:
    _transactions(report)
    _lone(report)
    _crowds(report)
    _ssh(report)
    _scale(report)
    _memory(report)
    _pending(report)
    _throughput(report)
    _distance(report)
    _judging(report)
    _enrolling(report)


def median_ms(times: Sequence[float]) -> float:
    return statistics.median(times) * 1000


def added_to_ssh(report: Report) -> dict[str, float]:
    """Return the ms that each module adds to a login with a password: the median of its rounds."""
    first = report["ssh"][0]  # everybody was there
    return {
        name: median_ms(added.added(report["ssh"], name, BARE)) for name in first if name != BARE
    }


def interval_of_added(report: Report) -> str:
    """Return in words where the ratio of pam_totp to google-authenticator lies, 95 of 100 times."""
    ours, theirs = (added.added(report["ssh"], name, BARE) for name in (SERVICE, GOOGLE))
    lowest, highest = added.interval(ours, theirs)
    return f"95 %: {lowest:.2f} to {highest:.2f}"


def ratio(ours: float, theirs: float) -> str:
    """Return it in words where theirs is too small to be told from nothing."""
    return f"{ours / theirs:.2f}" if theirs > 0 else "theirs is lost in the noise"


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"### {title}\n")
    for row in (headings, ["---"] * len(headings), *rows):
        print("| " + " | ".join(row) + " |")
    print()


def _transactions(report: Report) -> None:
    loops, pamtesters = report["loops"], report["pamtesters"]
    google = median_ms(loops["next"][GOOGLE])
    rows = [
        (
            name,
            f"{median_ms(times):.2f} ms",
            f"{median_ms(times) / google:.2f}",
            f"{median_ms(loops['first'][name]):.2f} ms",
            f"{median_ms(pamtesters[name]):.2f} ms",
        )
        for name, times in loops["next"].items()
    ]
    headings = ("module", "in a loop", f"to {GOOGLE}", "first of a process", "pamtester")
    print_table("One PAM transaction", headings, rows)


def _lone(report: Report) -> None:
    _two_modules("A lone login", f"after {LONE_PAUSE:g} s of nothing", report["lone"])


def _crowds(report: Report) -> None:
    _two_modules("People with pamtester at once", f"{CROWD} people in", report["crowds"])


def _two_modules(title: str, what: str, timings: dict[str, list[float]]) -> None:
    google = median_ms(timings[GOOGLE])
    rows = [
        (name, f"{median_ms(times):.2f} ms", f"{median_ms(times) / google:.2f}")
        for name, times in timings.items()
    ]
    print_table(title, ("module", what, f"to {GOOGLE}"), rows)


def _ssh(report: Report) -> None:
    more = added_to_ssh(report)
    rows = []
    for name in (BARE, *more):
        times = [round_[name] for round_ in report["ssh"] if name in round_]
        row = (name, str(len(times)), f"{median_ms(times):.1f} ms")
        if name == BARE:
            rows.append((*row, "", ""))
        else:
            rows.append((*row, f"{more[name]:+.1f} ms", ratio(more[name], more[GOOGLE])))
    headings = ("login", "logins", "median", "added to a password", f"to what {GOOGLE} adds")
    print_table("One ssh login, from the client's start to its end", headings, rows)


def _scale(report: Report) -> None:
    rows = []
    for module, timings in report["scale"].items():
        smallest = median_ms(timings[str(SCALES[0])])
        for users, times in sorted(timings.items(), key=lambda item: int(item[0])):
            ms = median_ms(times)
            rows.append((module, f"{int(users):,}", f"{ms:.2f} ms", f"{ms / smallest:.2f}"))
    headings = ("module", "enrolled users", "median", "to 10 users")
    print_table("One PAM transaction, by enrolled users", headings, rows)


def _memory(report: Report) -> None:
    bare = report["memory"][BARE]
    rows = [
        (name, f"{kib:,} KiB", f"{kib - bare:+,} KiB") for name, kib in report["memory"].items()
    ]
    headings = ("login", "private memory", "to password only")
    print_table("sshd's memory while a login waits at its last prompt", headings, rows)


def _pending(report: Report) -> None:
    pending = report["pending"]
    each = (pending["busy"] - pending["idle"]) / PENDING
    rows = [
        ("a login, nobody waiting", f"{median_ms(pending['times']['alone']):.2f} ms"),
        (f"a login, {PENDING} waiting", f"{median_ms(pending['times']['among']):.2f} ms"),
        ("private memory of the service, just started", f"{report['service']['fresh']:,} KiB"),
        (f"after {MANY:,} logins, nobody waiting", f"{pending['idle']:,} KiB"),
        (f"with {PENDING} waiting", f"{pending['busy']:,} KiB"),
        ("for each of them", f"{each:.1f} KiB"),
    ]
    print_table(f"{PENDING} logins that wait for a person", ("service", "measured"), rows)


def _throughput(report: Report) -> None:
    rates = {name: statistics.median(found) for name, found in report["throughput"].items()}
    rows = [
        (name, f"{rates[key]:,.0f}", f"{rates[key] / rates['growing']:.2f}")
        for key, name in (
            *((str(count), f"verifications, {count} at once") for count in COUNTS),
            ("growing", "blocks written and synced, in a file that grows"),
            ("in place", "blocks written and synced, over old ones"),
        )
    ]
    headings = ("what", "a second", "to a file that grows")
    print_table("Verifications a second, and what the disk does", headings, rows)


def _distance(report: Report) -> None:
    times = {name: median_ms(found) for name, found in report["distance"]["times"].items()}
    rows = [(name, f"{ms:.1f} ms", f"{ms / times[STATEMENTS]:.2f}") for name, ms in times.items()]
    title = f"A login over PostgreSQL, {DISTANCE * 1000:g} ms away"
    print_table(title, ("by", "median", f"to {STATEMENTS}"), rows)


def _judging(report: Report) -> None:
    rows = []
    for clients, found in report["judging"].items():
        rates = {name: statistics.median(each) for name, each in found.items()}
        updates, verifications = rates[UPDATES], rates[VERIFICATIONS]
        rows.append(
            (clients, f"{updates:,.0f}", f"{verifications:,.0f}", f"{verifications / updates:.2f}")
        )
    headings = ("clients", f"{UPDATES} a second", f"{VERIFICATIONS} a second", "to those")
    print_table("Verifications in PostgreSQL, beside pgbench", headings, rows)


def _enrolling(report: Report) -> None:
    seconds = report["enrolling"]
    google = seconds[GOOGLE_RUNS]
    rows = [
        (what.format(f"{PEOPLE:,}"), f"{seconds[key]:.2f} s", f"{seconds[key] / google:.2f}")
        for key, what in (
            (GOOGLE_RUNS, f"{{}} runs of {GOOGLE}"),
            (JSON_ALL_BUT_HASHING, "totpctl enroll --from, {} people, to JSON, without hashing"),
            (ALL_BUT_HASHING, "the same, to sheets in PDF, without hashing"),
            (SHEETS, "the same, to sheets in PDF, with hashing"),
            (DIGESTS, "the digests alone, ten a person, on all cores"),
        )
    ]
    print_table("Enrolling many people", ("what", "time", f"to {GOOGLE}"), rows)
