"""Records for the tests of a store: a full one, odd names, and any."""

from __future__ import annotations

from hypothesis import strategies as st

from pam_totp.core import otp, remembering, users
from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import Remembered
from pam_totp.core.users import Authenticator, UserRecord

NOW = 1_900_000_000
ODD_NAMES = (
    "alice",
    "Alice",
    "ALICE",
    "DOMAIN\\user",
    "user@example.org",
    "/",
    "..",
    "../../etc/passwd",
    "with space",
    " leading and trailing ",
    "new\nline",
    "tab\tcarriage\r",
    "\x1b[31m",
    "%",
    "_lice",
    "*",
    "?",
    "'",
    '"',
    "`",
    "''",
    "'; DROP TABLE users; --",
    "x' OR '1'='1",
    "alice'--",
    '"users"',
    "NULL",
    "-1",
    "0",
    "jürgen",
    "ju\u0308rgen",
    "İstanbul",
    "ελένη",
    "山田",
    "\U0001f511",
    "\u202etxet",
    "n" * 300,
)

names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=80
)
times = st.integers(0, 2**40)


@st.composite
def authenticators(draw: st.DrawFn) -> tuple[Authenticator, ...]:
    """Draw up to three, labels all different, in the order a store gives them back."""
    labels = sorted(draw(st.sets(names, max_size=3)))
    return tuple(
        Authenticator(
            id=draw(st.uuids()).hex,
            label=label,
            secret=draw(st.binary(min_size=1, max_size=64)),
            algorithm=draw(st.sampled_from(otp.ALGORITHMS)),
            digits=draw(st.sampled_from(otp.DIGITS)),
            period=draw(st.integers(1, 3600)),
            drift=draw(st.integers(-100, 100)),
            last_accepted_step=draw(st.integers(-1, 2**40)),
            created_at=draw(times),
            last_used_at=draw(st.none() | times),
            clock_offset=draw(st.integers(-2000, 2000)),
            clock_sightings=draw(st.integers(0, 100)),
            kind=draw(st.sampled_from(otp.KINDS)),
            serial=draw(names | st.just("")),
            learned=draw(st.integers(-users.MOST_LEARNED, users.MOST_LEARNED)),
        )
        for label in labels
    )


@st.composite
def known_places(draw: st.DrawFn) -> tuple[KnownPlace, ...]:
    """Draw up to eight, in an order that a store keeps."""
    printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)
    counts = st.integers(0, 10_000)
    places = st.builds(KnownPlace, printable, times, counts, times, times)
    return tuple(draw(st.lists(places, max_size=8, unique_by=lambda place: place.name)))


@st.composite
def remembered(draw: st.DrawFn) -> tuple[Remembered, ...]:
    """Draw up to twelve, in an order that a store keeps."""
    words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
    kinds = st.sampled_from(remembering.KINDS)
    made = st.builds(Remembered, words, kinds, words, times, times, words, st.just(""))
    return tuple(draw(st.lists(made, max_size=remembering.AT_MOST)))


@st.composite
def records(draw: st.DrawFn, name: str = "alice", created_at: int = NOW) -> UserRecord:
    return UserRecord(
        name,
        status=draw(
            st.sampled_from((users.ACTIVE, users.SUSPENDED, users.EXEMPT, users.MUST_ENROLL))
        ),
        failures=draw(st.integers(0, 10_000)),
        throttled_until=draw(times),
        recovery_salt=draw(st.none() | st.binary(min_size=16, max_size=16)),
        recovery_digests=draw(st.frozensets(st.binary(min_size=32, max_size=32), max_size=10)),
        authenticators=draw(authenticators()),
        created_at=created_at,
        updated_at=draw(times),
        exempt_until=draw(times),
        uid=draw(st.none() | st.integers(0, 2**32 - 1)),
        bound_at=draw(times),
        untold=draw(st.integers(0, 10_000)),
        guesses_until=draw(times),
        known_places=draw(known_places()),
        remembered=draw(remembered()),
    )


def phone(identity: str = "id of the phone", label: str = "phone", **fields: object):
    return Authenticator(identity, label, b"12345678901234567890", created_at=NOW)._replace(
        **fields
    )


def tablet(**fields: object) -> Authenticator:
    every_field_of_its_own = {
        "algorithm": "SHA512",
        "digits": 8,
        "period": 60,
        "drift": -2,
        "last_accepted_step": 63_333_333,
        "created_at": NOW - 5,
        "last_used_at": NOW - 1,
        "clock_offset": -119,
        "clock_sightings": 4,
        "kind": otp.HOTP,
        "serial": "2600000000001",
        "learned": -77,
    }
    return phone("id of the tablet", "tablet", **{**every_field_of_its_own, **fields})


def full_record(name: str = "alice") -> UserRecord:
    """A record none of whose fields has its default, nor the value of another."""
    return UserRecord(
        name,
        status=users.SUSPENDED,
        failures=3,
        throttled_until=NOW + 30,
        recovery_salt=b"sixteen bytes of",
        recovery_digests=frozenset(bytes([number]) * 32 for number in range(10)),
        authenticators=(phone(), tablet()),
        created_at=NOW - 100,
        updated_at=NOW - 7,
        exempt_until=NOW + 86_400,
        uid=1005,
        bound_at=NOW - 99,
        untold=17,
        guesses_until=NOW + 9_999,
        known_places=(
            KnownPlace("192.0.2.7", NOW - 3600, 2, NOW + 60, NOW + 90),
            KnownPlace("by alice and bob", NOW - 7200),
        ),
        remembered=(
            Remembered("sshd", "address", "192.0.2.7", NOW - 60, NOW + 540, "20000.0a1b2c3d"),
            Remembered("sudo", "terminal", "51e6369c:7:90:34816", NOW - 9, NOW + 1, "-"),
        ),
    )


def without_secrets(record: UserRecord) -> UserRecord:
    return record._replace(
        authenticators=tuple(a._replace(secret=None) for a in record.authenticators)
    )
