from __future__ import annotations

import hashlib
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from pam_totp.store.sealing import (
    Sealer,
    decoy,
    generate_key_file,
    key_id_of,
    new_sealer,
    read_sealer,
)
from pam_totp.system.errors import InsecureFile, SealingError
from tests.support.each import each

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
SECRET = b"12345678901234567890"
ROW = ("alice", "0123456789abcdef", "SHA1", "6", "30")
SEALER = Sealer(KEY, "/etc/security/pam_totp.key")
ENVELOPE = SEALER.seal(SECRET, *ROW)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    path = tmp_path / "pam_totp.key"
    path.write_bytes(generate_key_file())
    path.chmod(0o600)
    return path


@given(
    st.binary(max_size=200),
    st.lists(st.text(st.characters(), max_size=20), max_size=6),
    st.binary(min_size=32, max_size=32),
)
def test_what_was_sealed_opens(secret: bytes, fields: list[str], key: bytes) -> None:
    sealer = Sealer(key, "k")
    assert secret == sealer.open(sealer.seal(secret, *fields), *fields)


def test_the_envelope_is_version_key_id_nonce_and_xchacha20_poly1305() -> None:
    data = b"".join(len(f).to_bytes(4, "big") + f.encode() for f in ROW)
    nonce = ENVELOPE[5:29]
    sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(SECRET, data, nonce, KEY)
    assert b"\x01" + SEALER.key_id + nonce + sealed == ENVELOPE


def test_key_ids_and_decoys_are_keyed_blake2b() -> None:
    def blake2b(person: bytes, data: bytes) -> bytes:
        digest = hashlib.blake2b(data, key=KEY, person=person, digest_size=32).digest()
        assert digest == bindings.crypto_generichash_blake2b_salt_personal(
            data, digest_size=32, key=KEY, person=person.ljust(16, b"\0")
        )
        return digest

    assert blake2b(b"key id", b"")[:4] == SEALER.key_id
    assert blake2b(b"decoy salt", "álice".encode()) == decoy(KEY, b"salt", "álice")


def test_a_secret_is_sealed_under_a_new_nonce_each_time() -> None:
    assert 1000 == len({SEALER.seal(SECRET, *ROW)[5:29] for _ in range(1000)})


@each("place", range(len(ENVELOPE)))
@each("flip", [0x01, 0x80, 0xFF])
def test_an_altered_byte_anywhere_is_refused(place: int, flip: int) -> None:
    altered = bytearray(ENVELOPE)
    altered[place] ^= flip
    with pytest.raises(SealingError):
        SEALER.open(bytes(altered), *ROW)


@each("length", range(len(ENVELOPE)))
def test_a_shortened_envelope_is_refused(length: int) -> None:
    with pytest.raises(SealingError):
        SEALER.open(ENVELOPE[:length], *ROW)


def test_a_lengthened_envelope_is_refused() -> None:
    with pytest.raises(SealingError, match="was altered, or moved from its row"):
        SEALER.open(ENVELOPE + b"\0", *ROW)


@each(
    "row",
    [
        ("bob", *ROW[1:]),
        ("alice", "another id", *ROW[2:]),
        (*ROW[:2], "SHA256", "6", "30"),
        (*ROW[:3], "8", "30"),
        (*ROW[:4], "60"),
        ROW[:4],
        (*ROW, ""),
        ("alice0", "123456789abcdef", *ROW[2:]),  # the same text, divided otherwise
        (*ROW[:3], "63", "0"),
        (),
    ],
)
def test_a_secret_moved_to_another_row_is_refused(row: tuple[str, ...]) -> None:
    with pytest.raises(SealingError) as caught:
        SEALER.open(ENVELOPE, *row)
    assert "sealed secret: was altered, or moved from its row" == str(caught.value)
    assert "enroll this user again: totpctl reset USER" == caught.value.hint


def test_another_release_s_envelope_is_refused() -> None:
    with pytest.raises(SealingError, match="is not an envelope of this release"):
        SEALER.open(b"\x02" + ENVELOPE[1:], *ROW)


def test_another_key_is_refused_naming_both() -> None:
    other = Sealer(OTHER_KEY, "/etc/security/pam_totp.key")
    with pytest.raises(SealingError) as caught:
        other.open(ENVELOPE, *ROW)
    expected = (
        f"/etc/security/pam_totp.key: is key {other.key_id.hex()}, "
        f"but the secret is sealed with key {SEALER.key_id.hex()}"
    )
    assert expected == str(caught.value)
    assert caught.value.hint.startswith("restore /etc/security/pam_totp.key from the backup")


def test_a_key_id_that_was_forged_does_not_open_it() -> None:
    other = Sealer(OTHER_KEY, "k")
    forged = ENVELOPE[:1] + other.key_id + ENVELOPE[5:]
    with pytest.raises(SealingError, match="was altered"):
        other.open(forged, *ROW)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(SealingError, match="does not hold 32 bytes"):
        Sealer(bytes(length), "k")


# The key file


def test_a_generated_key_file_is_read(key_file: Path) -> None:
    sealer = read_sealer(str(key_file))
    key = bytes.fromhex(key_file.read_text(encoding="ascii"))
    assert SECRET == Sealer(key, "k").open(sealer.seal(SECRET, *ROW), *ROW)


def test_two_generated_keys_differ() -> None:
    assert 100 == len({generate_key_file() for _ in range(100)})
    assert 64 + 1 == len(generate_key_file())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"0" * 63,
        b"0" * 62,
        b"0" * 66,
        b"0" * 64 + b"\n" + b"0" * 64,
        b"g" * 64,
        KEY,
        b"\xff" * 64,
        "\uff10".encode() * 64,
        b"0x" + b"0" * 64,
        b"-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_malformed_key_file_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(SealingError) as caught:
        read_sealer(str(key_file))
    assert str(key_file) == caught.value.subject
    assert caught.value.problem in ("is not a sealing key", "does not hold 32 bytes")
    assert caught.value.hint.startswith(f"restore {key_file} from the backup")


def test_a_missing_key_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "pam_totp.key"
    with pytest.raises(SealingError) as caught:
        read_sealer(str(path))
    assert f"{path}: there is no sealing key" == str(caught.value)
    assert "totpctl init" in caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_file_that_others_may_read_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(InsecureFile, match="is readable by others"):
        read_sealer(str(key_file))


# Two keys: while they are rotated

KEYS = st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=2, unique=True)


def both(keys: list[bytes]) -> Sealer:
    return Sealer(keys[0], "k", (Sealer(keys[1], "k"),))


@given(KEYS, st.binary(max_size=100), st.lists(st.text(max_size=9), max_size=6))
def test_two_keys_open_what_either_has_sealed_and_the_first_one_seals(
    keys: list[bytes], secret: bytes, fields: list[str]
) -> None:
    old, new = (Sealer(key, "k") for key in keys)
    sealed = both(keys).seal(secret, *fields)
    assert old.key_id == key_id_of(sealed)
    assert secret == old.open(sealed, *fields)
    for envelope in (sealed, old.seal(secret, *fields), new.seal(secret, *fields)):
        assert secret == both(keys).open(envelope, *fields)


@given(KEYS)
def test_two_keys_open_no_more_than_each_of_them(keys: list[bytes]) -> None:
    old, new = (Sealer(key, "k") for key in keys)
    for envelope in (ENVELOPE, old.seal(SECRET, *ROW)[:-1], new.seal(SECRET, "bob", *ROW[1:])):
        with pytest.raises(SealingError):
            both(keys).open(envelope, *ROW)
    forged = b"\x01" + new.key_id + old.seal(SECRET, *ROW)[5:]
    with pytest.raises(SealingError, match="was altered"):
        both(keys).open(forged, *ROW)


@given(KEYS)
def test_each_of_two_keys_is_found_by_its_id(keys: list[bytes]) -> None:
    old, new = (Sealer(key, "k") for key in keys)
    found = [both(keys).named(sealer.key_id) for sealer in (old, new, SEALER)]
    assert [old.key_id, new.key_id, None] == [one and one.key_id for one in found]


@pytest.mark.parametrize("number", [1, 2])
def test_a_key_file_that_was_written_is_read_as_it_was(key_file: Path, number: int) -> None:
    written = SEALER if number == 1 else both([KEY, OTHER_KEY])
    key_file.write_bytes(written.key_file())
    sealer = read_sealer(str(key_file))
    assert number - 1 == len(sealer.others)
    assert [KEY, OTHER_KEY][:number] == [one._key for one in (sealer, *sealer.others)]


def test_a_key_file_of_one_key_is_what_it_always_was() -> None:
    assert KEY.hex().encode("ascii") + b"\n" == SEALER.key_file()


@pytest.mark.parametrize("text", ["{0}{1}", "{0}\n{1}", "{0} {1}\n", "\n{0}\n\n{1}\n"])
def test_two_keys_may_be_divided_as_one_may(key_file: Path, text: str) -> None:
    key_file.write_text(text.format(KEY.hex(), OTHER_KEY.hex()))
    assert both([KEY, OTHER_KEY]).key_file() == read_sealer(str(key_file)).key_file()


def test_a_release_that_knows_one_key_alone_refuses_two_with_words() -> None:
    """As the first one reads: all digits, then the number of bytes."""
    content = both([KEY, OTHER_KEY]).key_file()
    with pytest.raises(SealingError, match="does not hold 32 bytes"):
        Sealer(bytes.fromhex(content.decode("ascii")), "k")


@pytest.mark.parametrize("digits", [65, 66, 100, 126, 127, 129, 130, 192])
def test_no_other_number_of_digits_is_two_keys(key_file: Path, digits: int) -> None:
    key_file.write_text((KEY + OTHER_KEY + KEY).hex()[:digits])
    with pytest.raises(SealingError):
        read_sealer(str(key_file))


def test_a_new_key_is_random_and_alone() -> None:
    assert 100 == len({new_sealer("k").key_id for _ in range(100)})
    assert () == new_sealer("k").others


# Decoys


def test_a_decoy_is_the_same_for_the_same_name_and_key_alone() -> None:
    decoys = [
        decoy(KEY, b"secret", "alice"),
        decoy(KEY, b"secret", "bob"),
        decoy(KEY, b"salt", "alice"),
        decoy(OTHER_KEY, b"secret", "alice"),
    ]
    assert 4 == len(set(decoys))
    assert {32} == {len(one) for one in decoys}
    assert decoys[0] == decoy(KEY, b"secret", "alice")


@given(st.text(st.characters()))
def test_a_decoy_can_be_had_of_any_name(name: str) -> None:
    assert 32 == len(decoy(KEY, b"secret", name))


# Secrets do not show


def test_a_sealer_shows_its_key_id_alone() -> None:
    assert f"<Sealer {SEALER.key_id.hex()}>" == repr(SEALER) == str(SEALER)


def test_the_key_id_is_not_part_of_the_key() -> None:
    assert SEALER.key_id not in KEY


@pytest.mark.parametrize("content", [KEY.hex().encode()[:-1], b"\xff" + KEY.hex().encode()])
def test_a_malformed_key_does_not_show_in_the_error(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(SealingError) as caught:
        read_sealer(str(key_file))
    shown = repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert KEY.hex()[:10] not in shown
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("sealer", "envelope", "row"),
    [
        (SEALER, ENVELOPE, ("bob", *ROW[1:])),
        (SEALER, ENVELOPE[:-1], ROW),
        (SEALER, ENVELOPE[1:], ROW),
        (Sealer(OTHER_KEY, "k"), ENVELOPE, ROW),
    ],
    ids=("another row", "end cut off", "start cut off", "another key"),
)
def test_no_error_shows_a_secret_or_a_key(
    sealer: Sealer, envelope: bytes, row: tuple[str, ...]
) -> None:
    with pytest.raises(SealingError) as caught:
        sealer.open(envelope, *row)
    shown = repr(caught.value) + "".join(traceback.format_exception(caught.value))
    for secret in (SECRET, KEY, OTHER_KEY, envelope[29:]):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
