"""What pam_totp is held to, beside what was measured: met, or not met."""

from __future__ import annotations

import statistics

from .load import COUNTS, PENDING
from .peers import GOOGLE, PAM_PYTHON, SERVICE, SPAWNED
from .tables import Report, added_to_ssh, median_ms, print_table, ratio
from .transactions import SCALES

MAX_ADDED_MEMORY = 100  # KiB


def show(report: Report) -> None:
    rows = [
        (what, measured, target, "met" if is_met else "**not met**")
        for what, measured, target, is_met in (
            *_times(report),
            *_memory(report),
            *_load(report),
        )
    ]
    print_table("Targets", ("what", "measured", "target", ""), rows)


Row = tuple[str, str, str, bool]


def _times(report: Report) -> list[Row]:
    added = added_to_ssh(report)
    loop = {name: median_ms(times) for name, times in report["loops"]["next"].items()}
    few, *_, most = SCALES
    scale = {users: median_ms(times) for users, times in report["scale"]["pam_totp"].items()}
    return [
        _at_most(
            "added to an ssh login, to google-authenticator", added[SERVICE], added[GOOGLE], 0.7
        ),
        _at_most("a transaction, to google-authenticator", loop[SERVICE], loop[GOOGLE], 0.6),
        _at_most("a worker each, to pam_python: ssh", added[SPAWNED], added[PAM_PYTHON], 1),
        _at_most("a worker each, to pam_python: loop", loop[SPAWNED], loop[PAM_PYTHON], 1),
        _at_most(f"{most:,} users, to {few}", scale[str(most)], scale[str(few)], 1.2),
    ]


def _memory(report: Report) -> list[Row]:
    more = report["memory"][SERVICE] - report["memory"][GOOGLE]
    pending = report["pending"]
    each = (pending["busy"] - pending["idle"]) / PENDING
    target = f"<= {MAX_ADDED_MEMORY} KiB"
    return [
        (
            "in sshd, more than google-authenticator",
            f"{more:+} KiB",
            target,
            more <= MAX_ADDED_MEMORY,
        ),
        ("in the service, a waiting login", f"{each:.1f} KiB", target, each <= MAX_ADDED_MEMORY),
    ]


def _load(report: Report) -> list[Row]:
    times = report["pending"]["times"]
    rates = {name: statistics.median(found) for name, found in report["throughput"].items()}
    ratios = {count: rates[str(count)] / rates["growing"] for count in COUNTS}
    alone, among = median_ms(times["alone"]), median_ms(times["among"])
    return [
        _at_most(f"a login among {PENDING} waiting, to alone", among, alone, 1.5),
        *(
            (
                f"verifications to synced blocks, {count} at once",
                f"{found:.2f}",
                ">= 0.5",
                found >= 0.5,
            )
            for count, found in ratios.items()
        ),
    ]


def _at_most(what: str, ours: float, theirs: float, target: float) -> Row:
    return (what, ratio(ours, theirs), f"<= {target}", theirs > 0 and ours <= target * theirs)
