"""What a service keeps is believed as long as it is what lies there, and no login longer."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp import store
from pam_totp.service import kept as kept_module
from pam_totp.service.kept import (
    LINGER_SECONDS,
    MAX_LINES,
    MERGE_SECONDS,
    SETTLE_SECONDS,
    InUse,
    Kept,
    KeptStore,
)
from pam_totp.store.sealing import generate_key_file
from pam_totp.store.sqlite import database, lasting_files, opening, schema
from pam_totp.store.sqlite.store import SQLiteStore
from pam_totp.system import config, marks
from pam_totp.system.config import Arguments, Config
from pam_totp.system.errors import (
    InsecureFile,
    PamTotpError,
    SchemaTooNew,
    SealingError,
    StoreBusy,
    StoreMissing,
    StoreUnavailable,
    Unavailable,
)
from tests.contract.questions import ENROLLMENT, WRONG, judged
from tests.support.place import Place

SUFFIXES = ("", "-wal", "-shm")
YOUNG_NS = 20_000_000  # more than a tick of the kernel's clock; tests need not wait for a second


class Service:
    """Logs alice in, with a wrong code, in rounds."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.kept = Kept()
        self.arguments = Arguments(path=str(place.config_path))

    def log_in(self) -> int:
        """Log in in a round of its own; return how many failures that makes."""
        self.kept.look_again()
        return self.answer()

    def answer(self) -> int:
        settings = self.kept.read(self.arguments).config
        failures = self.kept.asking(self.kept.store(settings))(count_failure)
        assert isinstance(failures, int)
        return failures

    def ask(self, question: Callable[[store.Store], object]) -> object:
        self.kept.look_again()
        return self.kept.ask(self.kept.read(self.arguments).config, question)

    def is_current(self) -> bool:
        """Tell whether a login would find all of it as it was marked."""
        self.kept.look_again()
        return self.kept.is_current(self.kept.read(self.arguments).config)

    def store(self) -> KeptStore:
        return self.kept.store(config.load(str(self.place.config_path)).config)


def count_failure(opened: store.Store) -> int:
    with opened.transaction("alice") as transaction:
        assert transaction.record is not None
        failures = transaction.record.failures + 1
        transaction.save(transaction.record._replace(failures=failures))
    return failures


def count_failure_beside(place: Place) -> int:
    """Do the same as another process does."""
    with place.open() as opened:
        return count_failure(opened)


@pytest.fixture
def service(place: Place) -> Iterator[Service]:
    place.enrol("alice")
    service = Service(place)
    yield service
    service.kept.close()
    assert not lasting_files._kept


@pytest.fixture(params=["young", "settled"])
def used(
    service: Service, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Service:
    """One whose files were there for long, or only a moment, when alice logged in twice."""
    if request.param == "settled":
        settle(monkeypatch)
    assert [1, 2] == [service.log_in() for _ in range(2)]
    assert service.is_current() == (request.param == "settled")
    return service


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "YOUNG_NS", YOUNG_NS)
    time.sleep(2 * YOUNG_NS / 1e9)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that are made from here on."""
    made: list[str] = []
    real = sqlite3.connect

    def connect(name: str, **options: object) -> sqlite3.Connection:
        made.append(name)
        return real(name, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(database.sqlite3, "connect", connect)
    return made


def beside(place: Place) -> list[str]:
    return sorted(path.name for path in place.store_path.parent.iterdir())


def with_suffixes(path: Path) -> list[Path]:
    return [Path(f"{path}{suffix}") for suffix in SUFFIXES]


# Kept


def test_one_connection_serves_one_login_after_the_other(used: Service, made: list[str]) -> None:
    assert [3, 4, 5, 6] == [used.log_in() for _ in range(4)]
    assert [] == made


def test_what_is_settled_is_looked_at_once_a_round(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    service.log_in()
    looked: list[str] = []
    lstat = os.lstat

    def look(path: str) -> os.stat_result:
        looked.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", look)
    service.log_in()
    once = len(looked)
    for _ in range(3):
        service.answer()
    assert once == len(looked)
    service.log_in()
    assert 2 * once == len(looked)
    for path in (service.place.config_path, service.place.key_path, service.place.store_path):
        assert {str(path), str(path.parent), "/"} <= set(looked)


def test_nothing_is_read_again_while_it_is_settled(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    service.log_in()

    def fail(*_: object, **__: object) -> None:
        pytest.fail("read again")

    monkeypatch.setattr(kept_module.config, "load", fail)
    monkeypatch.setattr(kept_module.sealing, "read_sealer", fail)
    monkeypatch.setattr(kept_module, "open_store", fail)
    assert [2, 3] == [service.log_in() for _ in range(2)]


def test_what_is_young_is_read_again_each_round(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.log_in()
    reads: list[str] = []
    load, read_sealer = config.load, kept_module.sealing.read_sealer
    monkeypatch.setattr(
        kept_module.config, "load", lambda *given: (reads.append("config"), load(*given))[1]
    )
    monkeypatch.setattr(
        kept_module.sealing, "read_sealer", lambda path: (reads.append("key"), read_sealer(path))[1]
    )
    for _ in range(2):
        service.log_in()
    assert ["config", "key"] * 2 == reads


def test_stores_of_two_configurations_are_not_mixed_up(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Place(tmp_path_factory.mktemp("other"))
    other.enrol("bob")
    for _ in range(3):
        service.kept.look_again()
        found = []
        for place in (service.place, other):
            settings = service.kept.read(Arguments(path=str(place.config_path))).config
            for name in ("alice", "bob"):
                record = service.kept.ask(settings, lambda opened, name=name: opened.load(name))  # type: ignore[misc]
                found.append(bool(record))
        assert [True, False, False, True] == found
    assert 2 == len(service.kept.open_stores())


def test_lines_of_different_arguments_are_kept_and_only_so_many(service: Service) -> None:
    path = str(service.place.config_path)
    for number in range(2 * MAX_LINES):
        attempts = str(number % 10 + 1)
        settings = (("attempts", attempts), ("issuer", str(number)))
        assert int(attempts) == service.kept.read(Arguments(settings, path)).config.attempts
        assert MAX_LINES >= len(service.kept._configurations)


# Not believed any more


def replace_the_store(place: Place) -> None:
    for path in with_suffixes(place.store_path):
        path.unlink(missing_ok=True)
    new = place.folder / "new" / "store.db"
    store.create_store(str(new), place.sealer())
    os.rename(new, place.store_path)


def exchange_the_folder(place: Place) -> None:
    folder = place.store_path.parent
    store.create_store(str(place.folder / "new" / "store.db"), place.sealer())
    os.rename(folder, place.folder / "away")
    os.rename(place.folder / "new", folder)


def exchange_the_file_by_its_folder(place: Place) -> None:
    """With another one that has the same name and the same times as far as they can be set."""
    folder = place.store_path.parent
    before = folder.stat()
    exchange_the_folder(place)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "exchange", [replace_the_store, exchange_the_folder, exchange_the_file_by_its_folder]
)
def test_a_store_put_in_place_of_the_old_one_is_the_one_that_counts(
    used: Service, exchange: Callable[[Place], None]
) -> None:
    exchange(used.place)
    assert None is used.ask(lambda opened: opened.load("alice"))


def test_a_store_restored_from_a_copy_is_the_one_that_counts(
    used: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = used.place
    used.store().tidy(time.monotonic() + SETTLE_SECONDS)  # all of it is in one file
    copy = place.folder / "copy.db"
    shutil.copy(place.store_path, copy)
    assert [3, 4] == [used.log_in() for _ in range(2)]
    for suffix in ("-wal", "-shm"):
        Path(f"{place.store_path}{suffix}").unlink()
    os.rename(copy, place.store_path)
    assert [3, 4] == [used.log_in() for _ in range(2)]
    used.kept.close()
    assert 4 == place.record("alice").failures


def test_a_store_moved_away_with_its_log_is_missed_and_has_lost_nothing(used: Service) -> None:
    place, away = used.place, used.place.folder / "away.db"
    moved = [
        (path, Path(f"{away}{suffix}"))
        for suffix, path in zip(SUFFIXES, with_suffixes(place.store_path), strict=True)
    ]
    for path, target in moved:
        os.rename(path, target)
    with pytest.raises(StoreMissing):
        used.log_in()
    for path, target in moved:
        os.rename(target, path)
    assert 3 == used.log_in()


def test_a_folder_moved_away_is_missed(used: Service) -> None:
    folder = used.place.store_path.parent
    os.rename(folder, used.place.folder / "away")
    with pytest.raises(Unavailable):
        used.log_in()
    os.rename(used.place.folder / "away", folder)
    assert 3 == used.log_in()


def test_a_store_that_was_removed_is_missed(used: Service) -> None:
    for path in used.place.store_path.parent.iterdir():
        path.unlink()
    with pytest.raises(StoreMissing):
        used.log_in()


@pytest.mark.parametrize("suffixes", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_a_store_whose_log_was_removed_is_opened_anew_and_has_lost_nothing(
    used: Service, suffixes: tuple[str, ...]
) -> None:
    place = used.place
    for suffix in suffixes:
        Path(f"{place.store_path}{suffix}").unlink()
    assert [3, 4] == [used.log_in() for _ in range(2)]
    used.kept.close()
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(place)
    assert not lasting_files.has_content(f"{place.store_path}-wal")
    with SQLiteStore(opening.open_database(str(place.store_path)), place.sealer()) as opened:
        record = opened.load("alice")
        assert [] == opened.check()
    assert record is not None
    assert 4 == record.failures


def make_it_newer(place: Place) -> None:
    other = sqlite3.connect(place.store_path)
    other.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    other.close()


def test_a_newer_release_s_store_is_refused_from_the_moment_it_is_one(used: Service) -> None:
    make_it_newer(used.place)
    with pytest.raises(SchemaTooNew):
        used.answer()  # in the same round, too
    for _ in range(2):
        with pytest.raises(SchemaTooNew):
            used.log_in()


@pytest.mark.parametrize(
    "question",
    [
        lambda opened: opened.admission("alice"),
        lambda opened: opened.admission("mallory"),
        lambda opened: judged(opened, WRONG, "alice"),
        lambda opened: judged(opened, WRONG, "mallory", is_decoy=True),
        lambda opened: opened.enroll_first("bob", ENROLLMENT, None),
        lambda opened: opened.have_told("alice", 1),
    ],
)
def test_no_question_is_answered_by_a_newer_release_s_store(
    used: Service, question: Callable[[store.Store], object]
) -> None:
    make_it_newer(used.place)
    with pytest.raises(SchemaTooNew):
        used.ask(question)


def write_another_key(place: Place) -> None:
    place.key_path.write_bytes(generate_key_file())


def put_another_key_there(place: Place) -> None:
    new = place.key_path.with_name("new.key")
    new.write_bytes(generate_key_file())
    new.chmod(0o600)
    os.rename(new, place.key_path)


def remove_the_key(place: Place) -> None:
    place.key_path.unlink()


@pytest.mark.parametrize(
    "change", [write_another_key, put_another_key_there, remove_the_key], ids=lambda f: f.__name__
)
def test_a_key_that_was_changed_opens_nothing(
    used: Service, change: Callable[[Place], None]
) -> None:
    whole = used.place.key_path.read_bytes()
    change(used.place)
    for _ in range(2):
        with pytest.raises(SealingError):
            used.log_in()
    used.place.key_path.write_bytes(whole)
    used.place.key_path.chmod(0o600)
    assert 3 == used.log_in()


LOOSENED: dict[str, tuple[Callable[[Place], Path], int]] = {
    "store": (lambda place: place.store_path, 0o666),
    "index": (lambda place: Path(f"{place.store_path}-shm"), 0o666),
    "folder": (lambda place: place.store_path.parent, 0o777),
    "folder above": (lambda place: place.folder, 0o777),
    "folder above that": (lambda place: place.folder.parent, 0o777),
    "key": (lambda place: place.key_path, 0o622),
    "key, to read": (lambda place: place.key_path, 0o644),
    "configuration": (lambda place: place.config_path, 0o666),
}


@pytest.mark.parametrize("name", LOOSENED)
def test_what_others_may_write_is_refused_from_the_moment_it_is(used: Service, name: str) -> None:
    path, mode = LOOSENED[name][0](used.place), LOOSENED[name][1]
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        for _ in range(2):
            with pytest.raises(InsecureFile, match="able by others"):
                used.log_in()
    finally:
        path.chmod(before)
    assert 3 == used.log_in()


@pytest.mark.skipif(os.geteuid() != 0, reason="chown needs root")
@pytest.mark.parametrize("name", LOOSENED)
def test_what_somebody_else_owns_is_refused_from_the_moment_they_do(
    used: Service, name: str
) -> None:
    path = LOOSENED[name][0](used.place)
    os.chown(path, 65534, -1)
    try:
        with pytest.raises(InsecureFile, match="is owned by uid 65534"):
            used.log_in()
    finally:
        os.chown(path, 0, -1)
    assert 3 == used.log_in()


@pytest.mark.parametrize("name", ["store", "index", "key", "configuration"])
def test_a_link_in_its_place_is_refused_from_the_moment_it_is_one(used: Service, name: str) -> None:
    path = LOOSENED[name][0](used.place)
    aside = path.with_name("aside")
    os.rename(path, aside)
    path.symlink_to(aside)
    with pytest.raises(InsecureFile, match="is a symbolic link"):
        used.log_in()
    os.rename(aside, path)
    assert 3 == used.log_in()


def test_a_log_that_others_may_write_is_refused_within_a_second(
    used: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look at it each time would have each commit take longer."""
    Path(f"{used.place.store_path}-wal").chmod(0o666)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + marks.SELDOM_SECONDS)
    with pytest.raises(InsecureFile, match="is writable by others"):
        used.log_in()
    Path(f"{used.place.store_path}-wal").chmod(0o600)
    assert 3 == used.log_in()


@pytest.mark.parametrize("name", ["store", "index", "log", "folder", "folder above", "key"])
def test_what_is_loosened_while_it_is_opened_is_refused_by_the_next_login(
    service: Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After it was checked, but before it is marked, or between two marks."""
    place = service.place
    log = Path(f"{place.store_path}-wal")
    path = log if name == "log" else LOOSENED[name][0](place)
    before = path.stat().st_mode & 0o777
    settings = config.load(str(place.config_path)).config
    place.open().close()
    for at in range(1, 10):
        service.kept.close()
        path.chmod(before)
        settle(monkeypatch)
        calls = 0

        def call_of(real: Callable[..., object], at: int = at) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal calls
                calls += 1
                if calls == at:
                    path.chmod(before | 0o022)
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(kept_module, "Marks", call_of(kept_module.Marks))
            patch.setattr(kept_module, "open_store", call_of(kept_module.open_store))
            service.kept.look_again()
            with contextlib.suppress(InsecureFile):
                service.kept.ask(settings, lambda _: None)
        if calls < at:
            assert at > 4
            return
        settle(monkeypatch)  # nothing is young any more
        service.kept.look_again()
        with pytest.raises(InsecureFile, match="is writable by others"):
            service.kept.ask(settings, lambda _: None)


# The configuration


def test_a_configuration_counts_from_the_moment_it_is_written(used: Service) -> None:
    place = used.place
    for attempts in (1, 2, 2, 9):
        place.configure(attempts=attempts)
        used.kept.look_again()
        assert attempts == used.kept.read(used.arguments).config.attempts
    new = place.folder / "new.conf"
    new.write_text(place.config_path.read_text().replace("attempts = 9", "attempts = 7"))
    new.chmod(0o644)
    os.rename(new, place.config_path)
    used.kept.look_again()
    assert 7 == used.kept.read(used.arguments).config.attempts


def test_a_configuration_that_was_removed_is_missed(used: Service) -> None:
    used.place.config_path.unlink()
    for _ in range(2):
        with pytest.raises(Unavailable, match="there is no such file"):
            used.log_in()
    used.place.configure()
    assert 3 == used.log_in()


def test_a_configuration_that_names_another_store_leads_to_that_one(
    used: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Place(tmp_path_factory.mktemp("other"))
    used.place.configure(store=other.store_path, sealing_key=other.key_path)
    assert None is used.ask(lambda opened: opened.load("alice"))
    used.place.configure()
    assert 3 == used.log_in()


def test_a_missing_default_configuration_is_believed_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "etc" / "pam_totp.conf"
    path.parent.mkdir(mode=0o755)
    monkeypatch.setattr(config, "DEFAULT_PATH", str(path))
    settle(monkeypatch)
    kept, given = Kept(), Arguments(path=str(path))
    for attempts in (3, 3, 5, 5):
        if attempts == 5:
            path.write_text("attempts = 5\n", encoding="utf-8")
            path.chmod(0o644)
        kept.look_again()
        assert attempts == kept.read(given).config.attempts


def test_a_default_configuration_that_was_there_only_while_it_was_read_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks that find nothing: only its folder tells."""
    path = tmp_path / "etc" / "pam_totp.conf"
    path.parent.mkdir(mode=0o755)
    monkeypatch.setattr(config, "DEFAULT_PATH", str(path))
    settle(monkeypatch)
    load = config.load

    def read_what_comes_and_goes(*given: object) -> config.Loaded:
        path.write_text("unenrolled = skip\n", encoding="utf-8")
        path.chmod(0o644)
        try:
            return load(*given)  # type: ignore[arg-type]
        finally:
            path.unlink()

    kept, given = Kept(), Arguments(path=str(path))
    with monkeypatch.context() as patch:
        patch.setattr(kept_module.config, "load", read_what_comes_and_goes)
        assert "skip" == kept.read(given).config.unenrolled
    time.sleep(2 * YOUNG_NS / 1e9)
    kept.look_again()
    assert "deny" == kept.read(given).config.unenrolled


# Links in the way


@pytest.fixture
def linked(service: Service) -> tuple[Service, Path]:
    """A configuration that names its store by a link to a folder; and that link."""
    place = service.place
    shutil.copytree(place.store_path.parent, place.folder / "other")
    (place.folder / "other").chmod(0o700)
    link = place.folder / "link"
    link.symlink_to(place.store_path.parent)
    place.configure(store=link / "store.db")
    return service, link


@pytest.mark.parametrize("is_settled", [False, True])
def test_a_link_in_the_way_that_leads_elsewhere_leads_there(
    linked: tuple[Service, Path], monkeypatch: pytest.MonkeyPatch, is_settled: bool
) -> None:
    service, link = linked
    if is_settled:
        settle(monkeypatch)
    assert [1, 2] == [service.log_in() for _ in range(2)]
    new = link.with_name("new link")
    new.symlink_to(service.place.folder / "other")
    os.rename(new, link)
    assert 1 == service.log_in()
    link.unlink()
    with pytest.raises(Unavailable):
        service.log_in()
    link.symlink_to(service.place.store_path.parent)
    assert 3 == service.log_in()


@pytest.mark.skipif(os.geteuid() != 0, reason="chown needs root")
def test_a_link_in_the_way_that_somebody_else_owns_is_refused(
    linked: tuple[Service, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, link = linked
    settle(monkeypatch)
    service.log_in()
    os.lchown(link, 65534, -1)
    with pytest.raises(InsecureFile, match="is owned by uid 65534"):
        service.log_in()


# After a failure


def test_after_a_failure_nothing_is_held_and_the_next_one_may_write(used: Service) -> None:
    def raise_in_a_transaction(opened: store.Store) -> None:
        with opened.transaction("alice"):
            raise ZeroDivisionError

    def save_what_cannot_be_saved(opened: store.Store) -> None:
        with opened.transaction("alice") as transaction:
            assert transaction.record is not None
            transaction.save(transaction.record._replace(name="somebody else"))

    def leave_it_open(opened: store.Store) -> None:
        opened.transaction("alice").__enter__()
        raise KeyboardInterrupt

    failures = 2
    for fail in (raise_in_a_transaction, save_what_cannot_be_saved, leave_it_open):
        with pytest.raises((ValueError, ZeroDivisionError, KeyboardInterrupt)):
            used.ask(fail)
        assert not used.store().is_open
        failures += 1
        assert failures == count_failure_beside(used.place)
        failures += 1
        assert failures == used.log_in()


def test_after_a_commit_that_failed_the_next_one_may_write(
    used: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = database.Database.execute

    def full(self: database.Database, statement: str, *rest: object) -> list[tuple[object, ...]]:
        if statement == "COMMIT":
            raise StoreUnavailable(self.path, "cannot be written: no space left")
        return execute(self, statement, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(database.Database, "execute", full)
        with pytest.raises(StoreUnavailable):
            used.log_in()
    assert 3 == used.log_in()


def test_another_writer_is_told_of_at_once_and_the_connection_is_kept(
    used: Service, made: list[str]
) -> None:
    other = sqlite3.connect(used.place.store_path, isolation_level=None)
    made.clear()
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(StoreBusy, match="locked by another process"):
            used.log_in()
        assert used.ask(lambda opened: opened.load("alice"))  # who only reads waits for nobody
    other.execute("ROLLBACK")
    other.close()
    assert 3 == used.log_in()
    assert [] == made


@pytest.mark.parametrize("number", range(8))
def test_an_opening_that_fails_half_way_leaves_nothing_open(
    service: Service, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    calls = 0

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number + 1:
                raise MemoryError
            result = real(*arguments, **options)
            calls += 1
            if calls == number + 1:
                if isinstance(result, SQLiteStore):
                    result.close()
                raise MemoryError
            return result

        return call

    with monkeypatch.context() as patch:
        for module, name in (
            (kept_module, "Marks"),
            (kept_module.sealing, "read_sealer"),
            (kept_module, "open_store"),
        ):
            patch.setattr(module, name, failing(getattr(module, name)))
        settings = config.load(str(service.place.config_path)).config
        with pytest.raises(MemoryError):
            service.kept.ask(settings, lambda _: None)
    assert () == service.kept.open_stores()
    assert not lasting_files._kept
    assert 1 == service.log_in()


# Never two at once


@contextlib.contextmanager
def another_thread_in(service: Service) -> Iterator[None]:
    """Have another thread be in the store."""
    arrived, go_on = threading.Event(), threading.Event()

    def wait(opened: store.Store) -> None:
        with opened.transaction("alice"):
            arrived.set()
            assert go_on.wait(60)

    asking = service.kept.asking(service.store())
    thread = threading.Thread(target=lambda: asking(wait), daemon=True)
    thread.start()
    assert arrived.wait(60)
    yield
    go_on.set()
    thread.join(60)


def test_who_comes_while_another_thread_is_in_the_store_is_told_so(used: Service) -> None:
    with another_thread_in(used):
        for _ in range(2):
            with pytest.raises(InUse, match="does not answer"):
                used.log_in()
            assert not used.is_current()
            # Nothing is taken from under that thread, and nobody woken for what cannot be done.
            assert None is used.kept.next_quiet_work()
            used.kept.tidy(time.monotonic() + LINGER_SECONDS)
            assert used.store().is_open
    assert None is not used.kept.next_quiet_work()
    assert 3 == used.log_in()


def test_what_a_thread_is_in_while_all_is_closed_is_left_to_it(used: Service) -> None:
    store = used.store()
    with another_thread_in(used):
        used.kept.close()
        assert store.is_open
    store.close()


# Quiet


def test_what_nobody_has_used_for_a_while_is_closed_and_the_log_is_merged(used: Service) -> None:
    due = used.kept.next_quiet_work()
    assert due is not None
    assert due - time.monotonic() <= MERGE_SECONDS
    used.kept.tidy(due)
    due = used.kept.next_quiet_work()
    assert due is not None
    assert SETTLE_SECONDS >= due - time.monotonic() > SETTLE_SECONDS - 1
    used.kept.tidy(due - 0.1)
    assert lasting_files.has_content(f"{used.place.store_path}-wal")
    used.kept.tidy(due)
    assert used.store().is_open
    assert not lasting_files.has_content(f"{used.place.store_path}-wal")
    due = used.kept.next_quiet_work()
    assert due is not None
    assert LINGER_SECONDS >= due - time.monotonic() > LINGER_SECONDS - 1
    used.kept.tidy(due - 0.1)
    assert (str(used.place.store_path),) == used.kept.open_stores()
    used.kept.tidy(due)
    assert () == used.kept.open_stores()
    assert None is used.kept.next_quiet_work()
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(used.place)
    assert 3 == used.log_in()


def test_a_store_that_was_settled_is_there_for_whoever_comes_next(
    used: Service, made: list[str]
) -> None:
    used.kept.tidy(time.monotonic() + SETTLE_SECONDS)
    made.clear()
    assert 3 == used.log_in()
    assert [] == made


@pytest.mark.parametrize(
    ("change", "kind"), [(remove_the_key, SealingError), (make_it_newer, SchemaTooNew)]
)
def test_what_cannot_be_opened_when_it_settles_is_said_to_whoever_comes_next(
    used: Service, change: Callable[[Place], None], kind: type[PamTotpError]
) -> None:
    change(used.place)
    used.kept.tidy(time.monotonic() + SETTLE_SECONDS)
    assert () == used.kept.open_stores()
    with pytest.raises(kind):
        used.log_in()


def test_a_store_changed_after_it_was_settled_is_looked_at_like_any_other(used: Service) -> None:
    used.kept.tidy(time.monotonic() + SETTLE_SECONDS)
    exchange_the_folder(used.place)
    assert None is used.ask(lambda opened: opened.load("alice"))


def test_settings_without_a_store_take_no_room(place: Place) -> None:
    kept = Kept()
    for number in range(5):
        settings = Config(store=f"/nonexistent/{number}/store.db")
        with pytest.raises(Unavailable):
            kept.ask(settings, lambda _: None)
    kept.tidy(time.monotonic())
    assert {} == kept._stores


def test_a_log_that_has_grown_is_merged_before_a_login_has_to_wait_for_that(used: Service) -> None:
    for _ in range(database.QUIET_PAGES):
        used.log_in()
    before = used.place.store_path.stat().st_mtime_ns
    used.kept.tidy(time.monotonic() + MERGE_SECONDS)
    assert used.store().is_open
    assert before < used.place.store_path.stat().st_mtime_ns
