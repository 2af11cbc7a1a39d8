"""Whatever is changed, and when: the next login is answered as by what is read and opened anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp import store
from pam_totp.service import kept as kept_module
from pam_totp.service.kept import SETTLE_SECONDS, Kept
from pam_totp.store import sealing
from pam_totp.store.sqlite import lasting_files, schema
from pam_totp.system import config, marks
from pam_totp.system.config import Arguments
from pam_totp.system.errors import PamTotpError
from tests.support import thorough
from tests.support.place import Place

YOUNG_NS = 12_000_000  # more than a tick of the kernel's clock
SUFFIXES = ("", "-wal", "-shm")


class Scene:
    """Two places with a store each, and a link that leads to one of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.chmod(0o755)
        self.top = root / "top"
        self.top.mkdir(0o755)
        folders = [self.top / "one", self.top / "two"]
        for folder in folders:
            folder.mkdir(0o755)
        self.one, self.two = (Place(folder, in_use=True) for folder in folders)
        for number, place in enumerate((self.one, self.two)):
            place.enrol("alice", failures=10 * number)
        self.link = root / "link"
        self.link.symlink_to(self.top / "one" / "store")
        self.key, self.other_key = root / "key", root / "other key"
        shutil.copy(self.one.key_path, self.key)
        shutil.copy(self.one.key_path, self.other_key)
        self.other_key.write_bytes(sealing.generate_key_file())
        self.config, self.other_config = root / "conf", root / "other conf"
        for path, folder in (self.config, self.link), (self.other_config, folders[1] / "store"):
            path.write_text(f"store = {folder}/store.db\nsealing_key = {self.key}\n")
            path.chmod(0o644)

    @property
    def store(self) -> Path:
        return self.link / "store.db"


def exchange(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    os.rename(one, aside)
    os.rename(other, one)
    os.rename(aside, other)


def exchange_files(scene: Scene) -> None:
    for suffix in SUFFIXES:
        exchange(Path(f"{scene.one.store_path}{suffix}"), Path(f"{scene.two.store_path}{suffix}"))


def exchange_content(one: Path, other: Path) -> None:
    before = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(before)


def toggle(path: Path, loose: int, tight: int) -> None:
    path.chmod(tight if path.stat().st_mode & 0o777 == loose else loose)


def take_away_or_bring_back(path: Path) -> None:
    away = path.with_name(path.name + ".away")
    if away.exists():
        os.rename(away, path)
    else:
        os.rename(path, away)


def lead_elsewhere(scene: Scene) -> None:
    other = "two" if os.readlink(scene.link).endswith("one/store") else "one"
    scene.link.unlink()  # the next link may get its number
    scene.link.symlink_to(scene.top / other / "store")


def count(scene: Scene) -> None:
    """Write as another process does."""
    other = sqlite3.connect(scene.store, isolation_level=None)
    other.execute("UPDATE users SET failures = failures + 1")
    other.close()


def turn_release(scene: Scene) -> None:
    other = sqlite3.connect(scene.store, isolation_level=None)
    (version,) = other.execute("PRAGMA user_version").fetchone()
    known = len(schema.MIGRATIONS)
    other.execute(f"PRAGMA user_version = {known + 1 if version == known else known}")
    other.close()


def rest(_: Scene) -> None:
    time.sleep(1.5 * YOUNG_NS / 1e9)


CHANGES: dict[str, Callable[[Scene], None]] = {
    "rest": rest,
    "count": count,
    "turn release": turn_release,
    "lead elsewhere": lead_elsewhere,
    "exchange files": exchange_files,
    "exchange stores": lambda scene: exchange(
        scene.one.store_path.parent, scene.two.store_path.parent
    ),
    "exchange places": lambda scene: exchange(scene.top / "one", scene.top / "two"),
    "move the top": lambda scene: take_away_or_bring_back(scene.top),
    "move the store": lambda scene: take_away_or_bring_back(scene.one.store_path),
    "exchange keys": lambda scene: exchange(scene.key, scene.other_key),
    "write the other key": lambda scene: exchange_content(scene.key, scene.other_key),
    "move the key": lambda scene: take_away_or_bring_back(scene.key),
    "exchange configurations": lambda scene: exchange(scene.config, scene.other_config),
    "write the other configuration": lambda scene: exchange_content(
        scene.config, scene.other_config
    ),
    "move the configuration": lambda scene: take_away_or_bring_back(scene.config),
    "chmod the store": lambda scene: toggle(scene.store, 0o666, 0o600),
    "chmod the index": lambda scene: toggle(Path(f"{scene.store}-shm"), 0o666, 0o600),
    "chmod the folder": lambda scene: toggle(scene.store.parent.resolve(), 0o777, 0o700),
    "chmod the top": lambda scene: toggle(scene.top, 0o777, 0o755),
    "chmod the key": lambda scene: toggle(scene.key, 0o644, 0o600),
    "chmod the configuration": lambda scene: toggle(scene.config, 0o666, 0o644),
}


def change(scene: Scene, names: list[str]) -> None:
    for name in names:
        try:
            CHANGES[name](scene)
        except (OSError, sqlite3.Error):  # what it would change is gone
            pass


def answer_of(ask: Callable[[], Any]) -> object:
    try:
        return ask().record.failures
    except PamTotpError as error:
        return type(error).__name__, str(error)


def answered_anew(scene: Scene) -> object:
    def ask() -> Any:
        settings = config.load(str(scene.config)).config
        sealer = sealing.read_sealer(settings.sealing_key)
        with store.open_store(settings.store, sealer, patience=0.0) as opened:
            return opened.admission("alice")

    return answer_of(ask)


def answered(kept: Kept, scene: Scene) -> object:
    kept.look_again()

    def ask() -> Any:
        settings = kept.read(Arguments(path=str(scene.config))).config
        return kept.ask(settings, lambda opened: opened.admission("alice"))

    return answer_of(ask)


@contextmanager
def meanwhile(at: int, act: Callable[[], None]) -> Iterator[None]:
    """Have ``act`` happen before or after one of the calls by which things are read and opened."""
    calls = 0

    def watched(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == at:
                act()
            result = real(*arguments, **options)
            calls += 1
            if calls == at:
                act()
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (kept_module, "Marks"),
            (kept_module.config, "load"),
            (kept_module.sealing, "read_sealer"),
            (kept_module, "open_store"),
        ):
            patch.setattr(module, name, watched(getattr(module, name)))
        yield


names = st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("before"), names, st.just(0)),
        st.tuples(st.just("during"), names, st.integers(1, 16)),
        st.tuples(st.just("quiet"), st.just([]), st.just(0)),
        st.tuples(st.just("quiet"), names, st.integers(1, 10)),
    ),
    min_size=1,
    max_size=8,
)


@given(steps)
@settings(max_examples=thorough.examples(40))
def test_after_any_changes_the_next_login_is_answered_as_by_what_is_opened_anew(
    steps: list[tuple[str, list[str], int]],
) -> None:
    young = marks.YOUNG_NS
    with tempfile.TemporaryDirectory() as root:
        scene, kept = Scene(Path(root)), Kept()
        try:
            marks.YOUNG_NS = YOUNG_NS
            for moment, changes, at in steps:
                if moment == "before":
                    change(scene, changes)
                elif moment == "during":
                    with meanwhile(at, lambda changes=changes: change(scene, changes)):  # type: ignore[misc]
                        answered(kept, scene)
                else:
                    for one in kept._stores.values():
                        one._note_write()
                    with meanwhile(at, lambda changes=changes: change(scene, changes)):  # type: ignore[misc]
                        kept.tidy(time.monotonic() + SETTLE_SECONDS)
                assert answered_anew(scene) == answered(kept, scene)
        finally:
            marks.YOUNG_NS = young
            kept.close()
    assert not lasting_files._kept
