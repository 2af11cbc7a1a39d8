"""kill -9 at every step of an export: its file is there whole, or nothing is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pam_totp.system import atomic_files
from tests.faults.processes import Meet
from tests.faults.tracing import schedule, traced

CONTENT = b"sealed" * 100_000


def test_a_killed_export_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    folder, trace = tmp_path / "folder", tmp_path / "trace"
    folder.mkdir()
    path = folder / "file"

    def write(pause: Meet) -> bool:
        pause()
        atomic_files.write_new_whole(str(path), CONTENT)
        return True

    done, calls = traced(write, trace)
    assert done is True
    left = []
    for name, number in schedule(calls):
        path.unlink(missing_ok=True)
        killed, _ = traced(write, trace, f"{name}:signal=KILL:when={number}")
        assert killed is None
        left.append(os.listdir(folder))
        if left[-1]:
            assert CONTENT == path.read_bytes()
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert left == sorted(left)  # nothing at first, and the file from some step on
    assert [[], ["file"]] == [left[0], left[-1]]
