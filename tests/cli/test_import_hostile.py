"""Files that want to harm: refused in a second of computing and 100 MB, and no secret is shown.

Measured is totpctl as it is run, with the programs that it starts.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import segno

from admin_cli.importing.trust import MOST_BYTES
from tests.cli.command import Result, Totpctl
from tests.support.import_samples import FILES, Sample
from tests.support.place import SECRET, Place

SECONDS = 1.0
BYTES = 100 * 1024 * 1024
MAPPED = 20 * BYTES  # of addresses, with libraries: what takes more harms no test beside this one
B32 = base64.b32encode(SECRET)
TEXT = B32.decode()
HEX = SECRET.hex().encode()
# Before the program: a limit that ends it; at its end come the seconds and the memory it took. A
# process that is forked begins with its parent's ru_maxrss, so its own is that of its memory map.
BEFORE = """
import atexit, resource, sys
def tell():
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    with open("/proc/self/status", encoding="ascii") as status:
        own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in used)
    print("took", seconds, max(own, used[1].ru_maxrss) * 1024, file=sys.stderr)
atexit.register(tell)
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
"""
BEFORE += f"resource.setrlimit(resource.RLIMIT_AS, ({MAPPED},) * 2)\n"


class Measured(NamedTuple):
    result: Result
    seconds: float
    bytes: int


def measured(totpctl: Totpctl, *arguments: str) -> Measured:
    """Run the import, and what takes too much twice more: others on the machine make it slower.

    Then in a process of its own: a fork has libraries that totpctl does not load.
    """
    least = _measured(totpctl, *arguments)
    for _ in range(2):
        if least.seconds >= SECONDS or least.bytes >= BYTES:
            again = _measured(totpctl, *arguments, PYTHONHASHSEED="0")
            assert (least.result.code, least.result.err) == (again.result.code, again.result.err)
            seconds, size = min(least.seconds, again.seconds), min(least.bytes, again.bytes)
            least = Measured(again.result, seconds, size)
    return least


def _measured(totpctl: Totpctl, *arguments: str, **environment: str) -> Measured:
    totpctl.prelude = BEFORE
    result = totpctl("import", *arguments, **environment)
    said, _, took = result.err.rpartition("took ")
    seconds, memory = took.split()
    return Measured(result._replace(err=said), float(seconds), int(memory))


def full(begin: bytes, repeated: bytes, end: bytes = b"") -> bytes:
    """Return as much as is read at all."""
    room = MOST_BYTES - len(begin) - len(end)
    return begin + repeated * (room // len(repeated)) + end


def numbered(line: bytes, count: int) -> bytes:
    return b"".join(line % number for number in range(count))


# Pictures


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes, bits: int = 1, colour: int = 0) -> bytes:
    """Return a PNG that may be far larger than its file, with ``more`` chunks in it."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    row = 1 + (width * bits + 7) // 8
    pixels = zlib.compress(bytes(row * min(height, 2000)))
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def packed_gigabyte() -> bytes:
    """Return a gigabyte of zeros as zlib packs it: of a megabyte that stands for itself."""
    packer = zlib.compressobj(9, wbits=-15)
    megabyte = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">I", 2**30 % 65_521 << 16 | 1)
    return b"\x78\xda" + megabyte * 2**10 + packer.flush() + checksum


def packed_texts() -> bytes:
    one = zlib.compress(bytes(4 * 2**20), 9)
    return png(10, 10, *(chunk(b"iTXt", b"a%d\0\1\0\0\0" % n + one) for n in range(500)))


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(width: int, height: int, scans: int) -> bytes:
    """Return what begins as a progressive JPEG does, with scans over all its pixels."""
    frame = segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    scan = segment(0xDA, b"\1\1\0\0\0\0") + b"\0" * 4
    table = segment(0xDB, bytes([0]) + b"\1" * 64)
    return b"\xff\xd8" + table + frame + scan * scans + b"\xff\xd9"


# Formats


def batch(message: bytes) -> bytes:
    return b"otpauth-migration://offline?data=" + base64.b64encode(message) + b"\n"


def in_lines(message: bytes) -> bytes:
    """Return as many QR codes of ``message`` as are read, each of an export of its own."""
    lines = (batch(message + b"\x18\xe8\x07\x28" + bytes([n % 128])) for n in range(40_000))
    return b"".join(lines)[:MOST_BYTES]


def pskc(key: bytes, container: bytes = b"") -> bytes:
    return (
        b"<KeyContainer>" + container + b'<KeyPackage><Key Algorithm="totp">' + key + b"</Key>"
        b"</KeyPackage></KeyContainer>"
    )


def pbkdf2(rounds: int, length: int, prf: str = "sha1") -> bytes:
    parameters = (
        "<EncryptionKey><DerivedKey><KeyDerivationMethod Algorithm='#pbkdf2'><PBKDF2-params>"
        "<Salt><Specified>AAAAAAAAAAA=</Specified></Salt>"
        f"<IterationCount>{rounds}</IterationCount><KeyLength>{length}</KeyLength>"
        f"<PRF Algorithm='#hmac-{prf}'/></PBKDF2-params></KeyDerivationMethod></DerivedKey>"
        "</EncryptionKey>"
    )
    return pskc(b"", parameters.encode())


def secret_of(text: bytes) -> bytes:
    return b"<Data><Secret><PlainValue>" + text + b"</PlainValue></Secret></Data>"


ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
LDIF = b"dn: ipatokenuniqueid=1\nobjectClass: ipatokentotp\n"
ANDOTP = b'{"secret": "%s", "label": "%s"}'
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    # Of no format
    "nothing": (lambda: b"", "is empty"),
    "blanks": (lambda: b" \n" * 1000, "is empty"),
    "zeros": (lambda: bytes(MOST_BYTES), "is not text: it may be encrypted"),
    "too large": (lambda: b"x" * (MOST_BYTES + 1), "is larger than 4 MiB"),
    "blank lines": (lambda: full(b"x", b"\n"), "has too many lines"),
    "a long line": (lambda: full(b"HOTP/T30 a - ", b"a"), "has a line of more than 64 KiB"),
    "a zip archive": (lambda: b"PK\x03\x04" + packed_gigabyte(), "is a zip archive"),
    # JSON
    "deep JSON": (lambda: b"[" * 100_000 + b"]" * 100_000, "is nested too deeply"),
    "many lists": (lambda: full(b"[", b"[],", b"[]]"), "has too many values"),
    "many objects": (lambda: full(b'{"items":[', b"{},", b"{}]}"), "has too many values"),
    "many names": (
        lambda: b'{"db":{},"header":{},%s"":1}' % numbered(b'"k%d":1,', 190_000),
        "there is no token",
    ),
    "a huge number": (lambda: b'{"items": ' + b"1" * 100_000 + b"}", "is not well-formed JSON"),
    "many digits": (
        lambda: b'[{"digits": %s, ' % (b"9" * 4000) + (ANDOTP % (B32, b"alice"))[1:] + b"]",
        "the number of digits is not a number",
    ),
    "JSON that is cut off": (lambda: b'{"items": [', "is JSON that is cut off"),
    "JSON in a foreign encoding": (lambda: b'{"items": "\xff\xfe"}', "is not well-formed JSON"),
    "a long name": (
        lambda: b"[" + ANDOTP % (B32, b"a" * (MOST_BYTES - 200)) + b"]",
        "entry 1: a name of more than 256 characters",
    ),
    "many long names": (
        lambda: b"[" + b",".join([ANDOTP % (B32, b"a" * 256)] * 9000) + b"]",
        "there is no user aaaa",
    ),
    "a long list of bytes": (
        lambda: (
            full(b'{"tokenOrder":[],"tokens":[{"type":"TOTP","secret":[', b"1", b"]}]}")
            .replace(b"1111", b"111,")
            .replace(b",]", b"]")
        ),
        "has too many values",
    ),
    # XML
    "a billion laughs": (
        lambda: b"<!DOCTYPE k [" + ENTITIES + b"]><KeyContainer>&e9;</KeyContainer>",
        "has a DTD",
    ),
    "many elements": (
        lambda: full(b"<KeyContainer>", b"<a/>", b"</KeyContainer>"),
        "has too many values",
    ),
    "many attributes": (
        lambda: b"<KeyContainer " + numbered(b' a%d=""', 300_000) + b"/>",
        "has too many values",
    ),
    "many namespaces": (
        lambda: b"<KeyContainer " + numbered(b' xmlns:a%d="b"', 90_000) + b"/>",
        "has no keys",
    ),
    "deep XML": (
        lambda: b"<KeyContainer>" + b"<a>" * 60_000 + b"</a>" * 60_000 + b"</KeyContainer>",
        "has no keys",
    ),
    "an unknown encoding": (
        lambda: b'<?xml version="1.0" encoding="utf-99"?><KeyContainer></KeyContainer>',
        "is not well-formed XML",
    ),
    "a long secret": (lambda: pskc(secret_of(b"A" * (MOST_BYTES - 200))), "must have between"),
    "many rounds": (lambda: pbkdf2(2_000_000_000, 16), "the limit is 2,700,000"),
    "many rounds for a long key": (lambda: pbkdf2(1_400_000, 32), "the limit is 1,350,000"),
    "many rounds of another hash": (lambda: pbkdf2(1_000_000, 16, "sha512"), "limit is 900,000"),
    "a key of a gigabyte": (lambda: pbkdf2(1, 2**30), "asks for a key of 1,073,741,824 bytes"),
    "many tokens of SafeNet": (
        lambda: b"<Tokens>" + b'<Token serial="1"/>' * 90_000 + b"</Tokens>",
        "has more than 10,000 tokens",
    ),
    # Lines
    "many tokens": (
        lambda: numbered(b"HOTP/T30 a - %040x\n", 10_001),
        "has more than 10,000 tokens",
    ),
    "many tokens of one person": (
        lambda: b"".join(b"HOTP/T30 alice - %040x\n" % (n + 2**100) for n in range(10_000)),
        "10,000 tokens are said to be one person's; the limit is 100",
    ),
    "many people": (
        lambda: numbered(b"otpauth://totp/nobody%d?secret=" + B32 + b"\n", 10_000),
        "there is no user nobody0",
    ),
    "many dates": (
        lambda: b"".join(
            b"HOTP/T15 a%d - %040x 1 12345678 2026-11-01T09:12:33L\n" % (n, n) for n in range(9000)
        ),
        "few apps know a period of 15 s",
    ),
    "many parameters": (
        lambda: b"otpauth://totp/a?" + numbered(b"&a=%d", 9000),
        "the address has too many parameters",
    ),
    "a period of nothing": (
        lambda: b"HOTP/T0 a - %s 1 123456 2026-11-01T00:00:00L\n" % HEX,
        "its period is not above 0 seconds",
    ),
    "many options": (lambda: B32 + b'\n" TOTP_AUTH\n' + b'" A\n' * 190_000, "belongs to nobody"),
    "many used codes": (
        lambda: B32 + b'\n" DISALLOW_REUSE ' + b"1 " * 30_000 + b'\n" TOTP_AUTH\n',
        "belongs to nobody",
    ),
    "sealed by somebody else": (
        lambda: full(b"pam_totp export 1\n" + b"0" * 32 + b"\n", b"A" * 76 + b"\n"),
        "the passphrase is wrong, or the file was changed",
    ),
    # Batches
    "a length that lies": (lambda: batch(b"\x0a\xff\xff\xff\xff\x0f" + bytes(100)), "is cut off"),
    "a number without an end": (lambda: batch(b"\x08" + b"\xff" * 1000), "is cut off"),
    "many fields": (lambda: batch(b"\x10\x01" * 20_000), "the data has too many values"),
    "many empty entries": (lambda: batch(b"\x0a\x00" * 20_000), "the data has too many values"),
    "many batches": (lambda: in_lines(b"\x0a\x00"), "has too many QR codes"),
    "many batches of many": (
        lambda: b"".join(batch(b"\x0a\x00" * 1500) for _ in range(900)),
        "has more than 10,000 tokens",
    ),
    "parts of many exports": (
        lambda: b"".join(
            batch(b"\x18\xe8\x07\x28" + bytes([n % 128, 0x30 + n % 2])[:1]) for n in range(900)
        ),
        "999 of the 1000 QR codes of an export are missing: number 2, number 3",
    ),
    "a part of no export": (lambda: batch(b"\x18\x01\x20\x05"), "no possible number"),
    # CSV
    "many cells": (lambda: b"upn,secret key\n" + b"," * 60_000, "there is no token"),
    "a wide header": (lambda: b"upn,secret key" + b",a" * 30_000, "there is no token"),
    "an open quote": (lambda: b'upn,secret key\n"' + b"\n" * 150_000, "a quote in line 2"),
    "many quotes": (lambda: b"upn,secret key\n" + b'"a","b"\n' * 190_000, "10,000 tokens"),
    "rows of nothing": (lambda: full(b"", b"a,\n"), "has too many lines"),
    # LDIF
    "folded lines": (
        lambda: LDIF + b"ipatokenOTPkey:: " + b"\n a" * 190_000,
        "has an entry of more than 10,000 lines",
    ),
    "a million folded lines": (
        lambda: LDIF + b"ipatokenOTPkey:: " + b"\n a" * 1_000_000,
        "has too many lines",
    ),
    "many attributes of an entry": (
        lambda: LDIF + numbered(b"a%d: 1\n", 190_000),
        "has an entry of more than 10,000 lines",
    ),
    "many entries": (lambda: numbered(b"dn: ipatoken=%d\na: b\n\n", 60_000), "too many entries"),
    "an owner of escapes": (
        lambda: LDIF + b"ipatokenOTPkey: " + SECRET + b"\nipatokenOwner: " + b"uid=\\" * 12_000,
        "a name of more than 256 characters",
    ),
    "an LDIF that is no text": (lambda: b"\xa8\ndn: ipatokenuniqueid=1\n", "not well-formed LDIF"),
    "an LDIF without a value": (
        lambda: b"dn: ipatokenuniqueid=1,dc=x\nobjectClass\n",
        "is not well-formed LDIF",
    ),
    "an LDIF in base64 that is none": (
        lambda: b"dn: ipatokenuniqueid=1,dc=x\nipatokenOTPkey:: a\n",
        "is not well-formed LDIF",
    ),
    # Pictures
    "a large picture": (lambda: png(60_000, 60_000), "is a picture of 60,000 x 60,000 pixels"),
    "a wide picture": (lambda: png(2_000_000, 1), "is a picture of 2,000,000 x 1 pixels"),
    "a picture that is read": (lambda: png(2_200, 2_000), "shows no QR code"),
    "a picture in colours": (lambda: png(3_840, 2_160, bits=16, colour=6), "shows no QR code"),
    "a packed text": (
        lambda: png(10, 10, chunk(b"zTXt", b"a\0\0" + packed_gigabyte())),
        "shows no QR code",
    ),
    "a packed profile": (
        lambda: png(10, 10, chunk(b"iCCP", b"a\0\0" + packed_gigabyte())),
        "shows no QR code",
    ),
    "many packed texts": (packed_texts, "shows no QR code"),
    "many texts": (lambda: png(10, 10, *[chunk(b"tEXt", b"a\0b")] * 200_000), "shows no QR code"),
    "a picture that is cut off": (lambda: png(100, 100)[:60], "is damaged"),
    "a picture without a size": (lambda: png(0, 0), "is damaged"),
    "a large photo": (lambda: jpeg(60_000, 60_000, 1), "is a picture of 60,000 x 60,000 pixels"),
    "a photo of many scans": (lambda: jpeg(2_000, 2_000, 1_000), "is no usual picture"),
    "a photo of nothing": (lambda: b"\xff\xd8\xff\xd9", "is damaged"),
}


@pytest.mark.serial
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_second_and_100_mb(
    totpctl: Totpctl, place: Place, name: str, tmp_path: Path
) -> None:
    make, reason = HOSTILE[name]
    path = tmp_path / "file"
    path.write_bytes(make())
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("of somebody else\n", encoding="utf-8")
    result, seconds, memory = measured(totpctl, str(path), "--passphrase-file", str(passphrase))
    assert reason in result.err
    assert 1 == result.code
    assert seconds < SECONDS
    assert memory < BYTES


def test_a_good_picture_with_a_packed_gigabyte_is_read_in_little_memory(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    """Its text is not unpacked, neither by totpctl nor by what it starts."""
    picture = io.BytesIO()
    segno.make(f"otpauth://totp/alice?secret={TEXT}").save(picture, kind="png", scale=5)
    data = picture.getvalue()
    text = chunk(b"zTXt", b"a\0\0" + packed_gigabyte())
    path = tmp_path / "picture.png"
    path.write_bytes(data[:33] + text + data[33:])  # behind the header
    result, _, memory = _measured(totpctl, str(path))
    assert (0, True) == (result.code, memory < BYTES)
    assert 1 == len(place.record("alice").authenticators)


@pytest.mark.serial
@pytest.mark.parametrize(
    "sample",
    [s for s in FILES if s.name.startswith("hostile")],
    ids=lambda sample: str(sample.name),
)
def test_a_hostile_sample_takes_no_more(totpctl: Totpctl, sample: Sample) -> None:
    result, seconds, memory = measured(totpctl, str(sample.path))
    assert 1 == result.code
    assert seconds < SECONDS
    assert memory < BYTES


@pytest.mark.serial
def test_a_folder_of_hostile_files_takes_no_more(totpctl: Totpctl, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}").write_bytes(full(b"", b"HOTP/T30 a - zz\n"))
    (folder / "circle").symlink_to(folder)
    result, seconds, memory = measured(totpctl, str(folder))
    assert "are larger than 32 MiB" in result.err
    assert seconds < SECONDS
    assert memory < BYTES


@pytest.mark.parametrize(
    "content",
    [
        f"HOTP/T30 alice - {TEXT}\n",
        f"{TEXT} alice - HOTP/T30\nHOTP/T30 a b {TEXT}x\n",
        f"otpauth://totp/alice?secret={TEXT}1\n",
        f"otpauth://totp/alice?secret={TEXT}&algorithm={TEXT}\n",
        f"otpauth://totp/alice?secret={TEXT}&digits={TEXT}\n",
        f"otpauth://{TEXT}/alice?secret={TEXT}\n",
        f"upn,serial number,secret key,time interval\nalice,1,{TEXT}1,30\n",
        f"upn,serial number,secret key\nalice,1,{TEXT},{TEXT}\n",
        f"1,{'ab' * 20},totp,6,30,{TEXT}\n1,{TEXT},{TEXT}\n",
        f"serial,seed,type\n1,{TEXT},{TEXT}\n",
        json.dumps({"db": {"entries": [{"type": TEXT, "info": {"secret": TEXT}}]}, "header": 1}),
        json.dumps([{"secret": TEXT, "type": "TOTP", "algorithm": TEXT, "label": "alice"}]),
        json.dumps([{"secret": TEXT, "digits": TEXT, "label": "alice"}]),
        f'{TEXT}!\n" TOTP_AUTH\n',
        f"dn: ipatokenuniqueid=1,dc=x\nipatokenOTPkey {TEXT}\n",
    ],
)
def test_no_reason_repeats_a_secret(totpctl: Totpctl, content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")
    result = totpctl("import", str(path))
    assert 1 == result.code
    assert TEXT not in (result.out + result.err).upper()
