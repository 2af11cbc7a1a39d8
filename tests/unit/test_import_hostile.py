"""Files that want to harm: refused in a second and 100 MB, and nothing of them is shown."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.support.place import ROOT

SECONDS = 1.0
BYTES = 100 * 1024 * 1024
LIMIT = 4 * 1024 * 1024
SECRET = "XIU4G6GCC4JXOIB6FGHIHK6D6EWKAKM6"

# Prints a line of JSON: what was said, the seconds, and the most memory that it ever had.
PROGRAM = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from admin_cli.errors import CommandFailed
from admin_cli.importing import recognition, sources
from admin_cli.importing.xml_encryption import Unlocking
begin = time.process_time()
try:
    (file,), _ = sources.named(sys.argv[2])
    _, read = recognition.read(file, Unlocking(lambda: bytes(16), lambda: "x"))
    said = [rejected.reason for rejected in read.rejected]
except CommandFailed as error:
    said = [str(error)]
seconds = time.process_time() - begin
with open("/proc/self/status", encoding="ascii") as status:  # RUSAGE_SELF begins with our parent's
    own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
memory = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(json.dumps([said[:3], seconds, memory * 1024]))
"""


def picture(width: int, height: int) -> bytes:
    """Return a PNG that is far larger than its file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes((width // 8 + 1) * min(height, 2000)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def filled(begin: bytes, repeated: bytes, end: bytes = b"") -> bytes:
    room = LIMIT - len(begin) - len(end)
    return begin + repeated * (room // len(repeated)) + end


ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
HOSTILE = {
    "nothing": (b"", "is empty"),
    "blanks": (b" \n" * 1000, "is empty"),
    "zeros": (bytes(LIMIT), "is not text: it may be encrypted"),
    "too large": (b"x" * (LIMIT + 1), "is larger than 4 MiB"),
    "deep JSON": (b"[" * 100_000 + b"]" * 100_000, "is nested too deeply"),
    "many lists": (filled(b"[", b"[],", b"[]]"), "has too many values"),
    "many objects": (filled(b'{"items":[', b"{},", b"{}]}"), "has too many values"),
    "a huge number": (b'{"items": ' + b"1" * 100_000 + b"}", "is not well-formed JSON"),
    "JSON that is cut off": (b'{"items": [', "is JSON that is cut off"),
    "JSON in a foreign encoding": (b'{"items": "\xff\xfe"}', "is not well-formed JSON"),
    "a billion laughs": (
        b"<!DOCTYPE k [" + ENTITIES + b"]><KeyContainer>&e9;</KeyContainer>",
        "has a DTD",
    ),
    "many elements": (
        filled(b"<KeyContainer>", b"<a/>", b"</KeyContainer>"),
        "has too many values",
    ),
    "many attributes": (
        b"<KeyContainer " + b" ".join(b'a%d=""' % n for n in range(300_000)) + b"/>",
        "has too many values",
    ),
    "deep XML": (
        b"<KeyContainer>" + b"<a>" * 60_000 + b"</a>" * 60_000 + b"</KeyContainer>",
        "has no keys",
    ),
    "an unknown encoding": (
        b'<?xml version="1.0" encoding="utf-99"?><KeyContainer></KeyContainer>',
        "is not well-formed XML",
    ),
    "many tokens": (
        b"".join(b"HOTP/T30 a - %040x\n" % n for n in range(10_001)),
        "has more than 10,000 tokens",
    ),
    "many parameters": (
        b"otpauth://totp/a?" + b"&".join(b"a%d=1" % n for n in range(100_000)),
        "the address has too many parameters",
    ),
    "one long line": (filled(b"HOTP/T30 a - ", b"a"), "the secret has an odd number"),
    "a long cell": (filled(b"upn,secret key\n", b"a"), "is not well-formed CSV"),
    "an open quote": (b'upn,secret key\n"' + b"\n" * 150_000, "is not well-formed CSV"),
    "blank lines": (filled(b"x", b"\n"), "has too many lines"),
    "rows of nothing": (filled(b"", b"a,\n"), "has too many lines"),
    "a large picture": (picture(60_000, 60_000), "QR code"),
    "a picture that is cut off": (picture(100, 100)[:60], "is damaged, or too large"),
    "a part of no export": (b"otpauth-migration://offline?data=EAEYASAF\n", "no possible number"),
    "a period of nothing": (
        b"HOTP/T0 a - 00112233445566778899 1 123456 2026-11-01T00:00:00L\n",
        "its period is not above 0 seconds",
    ),
    "an LDIF that is no text": (b"\xa8\ndn: ipatokenuniqueid=1\n", "is not well-formed LDIF"),
    "an LDIF without a value": (
        b"dn: ipatokenuniqueid=1,dc=x\nobjectClass\n",
        "is not well-formed LDIF",
    ),
    "an LDIF in base64 that is none": (
        b"dn: ipatokenuniqueid=1,dc=x\nipatokenOTPkey:: a\n",
        "is not well-formed LDIF",
    ),
}


def refused(path: Path) -> tuple[list[str], float, int]:
    command = ["/usr/bin/python3", "-I", "-B", "-c", PROGRAM, str(ROOT), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    said, seconds, memory = json.loads(done.stdout)
    return said, seconds, memory


@pytest.mark.serial
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_second_and_100_mb(name: str, tmp_path: Path) -> None:
    content, reason = HOSTILE[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    said, seconds, memory = refused(path)
    assert said
    assert reason in said[0]
    assert seconds < SECONDS
    assert memory < BYTES


@pytest.mark.parametrize(
    "content",
    [
        f"HOTP/T30 alice - {SECRET}\n",
        f"{SECRET} alice - HOTP/T30\nHOTP/T30 a b {SECRET}x\n",
        f"otpauth://totp/alice?secret={SECRET}1\n",
        f"otpauth://totp/alice?secret={SECRET}&algorithm={SECRET}\n",
        f"otpauth://totp/alice?secret={SECRET}&digits={SECRET}\n",
        f"otpauth://{SECRET}/alice?secret={SECRET}\n",
        f"upn,serial number,secret key,time interval\nalice,1,{SECRET}1,30\n",
        f"1,{'ab' * 20},totp,6,30,{SECRET}\n1,{SECRET},{SECRET}\n",
        json.dumps(
            {"db": {"entries": [{"type": SECRET, "info": {"secret": SECRET}}]}, "header": 1}
        ),
        json.dumps([{"secret": SECRET, "type": "TOTP", "algorithm": SECRET, "label": "alice"}]),
        f'{SECRET}!\n" TOTP_AUTH\n',
        f"dn: ipatokenuniqueid=1,dc=x\nipatokenOTPkey {SECRET}\n",
    ],
)
def test_no_reason_repeats_a_secret(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")
    said, _, _ = refused(path)
    assert said
    assert [] == [reason for reason in said if SECRET in reason.upper()]


def test_a_pipe_that_never_ends_is_read_no_further_than_the_limit() -> None:
    said, seconds, _ = refused(Path("/dev/zero"))
    assert "is larger than 4 MiB" in said[0]
    assert seconds < SECONDS
