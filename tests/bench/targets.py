"""What pam_totp is held to, beside what was measured: met, or not met."""

from __future__ import annotations

import statistics

from .distance import QUESTIONS, STATEMENTS
from .enrolling import ALL_BUT_HASHING, DIGESTS, GOOGLE_RUNS, JSON_ALL_BUT_HASHING, SHEETS
from .judging import UPDATES, VERIFICATIONS
from .load import COUNTS, MANY, PENDING
from .peers import GOOGLE, PAM_PYTHON, SERVICE, SPAWNED
from .tables import Report, added_to_ssh, interval_of_added, median_ms, print_table, ratio
from .transactions import CROWD, LONE_PAUSE, SCALES

MAX_IN_SSHD = 100  # KiB more than google-authenticator
MAX_OF_SERVICE = 12 * 1024  # KiB
MAX_LATE = 0.5  # s
MAX_WAITING = 4  # KiB, for each login that waits
PART_OF_GOOGLE = 0.05  # of the time of google-authenticator's runs
LEAST_OF_UPDATES = {"1": 0.6, "8": 0.45, "64": 0.45}  # verifications to updates, by clients
LEAST_OF_SYNCS = {1: 0.45, 8: 1.0, 64: 1.5}  # verifications to blocks, by clients


def show(report: Report) -> None:
    rows = [
        (what, measured, target, "met" if is_met else "**not met**")
        for what, measured, target, is_met in (
            *_times(report),
            *_load(report),
            *_memory(report),
            *_other_ways(report),
            *_fleet(report),
            *_enrolling(report),
        )
    ]
    print_table("Targets", ("what", "measured", "target", ""), rows)


Row = tuple[str, str, str, bool]


def _times(report: Report) -> list[Row]:
    added = added_to_ssh(report)
    lone = f"a lone login after {LONE_PAUSE:g} s of nothing"
    what, ssh, target, is_met = _at_most(
        f"added to an ssh login, to {GOOGLE}", added[SERVICE], added[GOOGLE], 1.1
    )
    few, *_, most = SCALES
    scale = {users: median_ms(times) for users, times in report["scale"]["pam_totp"].items()}
    return [
        _to_google("a PAM transaction", report["loops"]["next"], 1.3),
        _to_google(lone, report["lone"], 1.4),
        _to_google("first of a process", report["loops"]["first"], 1.6),
        (what, f"{ssh} ({interval_of_added(report)})", target, is_met),
        _to_google(f"{CROWD} people with pamtester at once", report["crowds"], 1.0),
        _at_most(f"{most:,} users, to {few}", scale[str(most)], scale[str(few)], 1.1),
    ]


def _load(report: Report) -> list[Row]:
    times = report["pending"]["times"]
    rates = {name: statistics.median(found) for name, found in report["throughput"].items()}
    ratios = {count: rates[str(count)] / rates["growing"] for count in COUNTS}
    alone, among = median_ms(times["alone"]), median_ms(times["among"])
    return [
        *(
            (
                f"verifications to synced blocks, {count} at once",
                f"{found:.2f}",
                f">= {LEAST_OF_SYNCS[count]}",
                found >= LEAST_OF_SYNCS[count],
            )
            for count, found in ratios.items()
        ),
        _at_most(f"a login among {PENDING} waiting, to alone", among, alone, 1.2),
    ]


def _memory(report: Report) -> list[Row]:
    more = report["memory"][SERVICE] - report["memory"][GOOGLE]
    idle, busy = report["pending"]["idle"], report["pending"]["busy"]
    each = (busy - idle) / PENDING
    return [
        _kib(f"the service, after {MANY:,} logins", f"{idle:,}", idle, MAX_OF_SERVICE),
        _kib("in the service, a waiting login", f"{each:.1f}", each, MAX_WAITING),
        _kib(f"in sshd, more than {GOOGLE}", f"{more:+}", more, MAX_IN_SSHD),
    ]


def _other_ways(report: Report) -> list[Row]:
    added = added_to_ssh(report)
    loop = {name: median_ms(times) for name, times in report["loops"]["next"].items()}
    return [
        _at_most("a worker each, to pam_python: ssh", added[SPAWNED], added[PAM_PYTHON], 1),
        _at_most("a worker each, to pam_python: loop", loop[SPAWNED], loop[PAM_PYTHON], 1),
    ]


def _fleet(report: Report) -> list[Row]:
    times = {name: median_ms(found) for name, found in report["distance"]["times"].items()}
    late = report["distance"]["late"]
    ratios = {
        clients: statistics.median(found[VERIFICATIONS]) / statistics.median(found[UPDATES])
        for clients, found in report["judging"].items()
    }
    return [
        *(
            (
                f"verifications in PostgreSQL, to pgbench's {UPDATES}, {clients} at once",
                f"{found:.2f}",
                f">= {LEAST_OF_UPDATES[clients]}",
                found >= LEAST_OF_UPDATES[clients],
            )
            for clients, found in ratios.items()
        ),
        _at_most(
            "a login over PostgreSQL, to single statements",
            times[QUESTIONS],
            times[STATEMENTS],
            0.25,
        ),
        (
            "denied by a black hole, after the patience",
            f"{late:+.2f} s",
            f"<= {MAX_LATE} s",
            late <= MAX_LATE,
        ),
    ]


def _enrolling(report: Report) -> list[Row]:
    seconds = report["enrolling"]
    google, digests = seconds[GOOGLE_RUNS], seconds[DIGESTS]
    hashing = seconds[SHEETS] - seconds[ALL_BUT_HASHING]
    bound = google * PART_OF_GOOGLE + digests
    return [
        _at_most(
            f"enrolling many, to {PART_OF_GOOGLE} of {GOOGLE} and the digests",
            seconds[SHEETS],
            bound,
            1.0,
        ),
        _at_most("the hashing of it, to the digests alone", hashing, digests, 1.0),
        _at_most(f"the rest of it, to {GOOGLE}", seconds[ALL_BUT_HASHING], google, PART_OF_GOOGLE),
        _at_most(
            f"the rest, to JSON, to {GOOGLE}", seconds[JSON_ALL_BUT_HASHING], google, PART_OF_GOOGLE
        ),
    ]


def _to_google(what: str, timings: dict[str, list[float]], target: float) -> Row:
    ours, theirs = median_ms(timings[SERVICE]), median_ms(timings[GOOGLE])
    return _at_most(f"{what}, to {GOOGLE}", ours, theirs, target)


def _kib(what: str, measured: str, kib: float, most: int) -> Row:
    return (what, f"{measured} KiB", f"<= {most:,} KiB", kib <= most)


def _at_most(what: str, ours: float, theirs: float, target: float) -> Row:
    return (what, ratio(ours, theirs), f"<= {target}", theirs > 0 and ours <= target * theirs)
