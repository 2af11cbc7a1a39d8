"""What each format's own readers accept, in the spellings that files really have.

The grammars are those of the programs: pam_google_authenticator.c and base32.c, usersfile.c of
liboath, mod_authn_otp.c, importotp.py of privacyIDEA, oath.py of LinOTP, Entry.java of andOTP,
Token.java of FreeOTP+, exports of Aegis, 2FAS and Bitwarden, RFC 2849 for LDIF, RFC 6030 for PSKC.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from admin_cli.importing import recognition
from admin_cli.importing.sources import TokenFile
from admin_cli.importing.tokens import Contents, Token, Unreadable
from admin_cli.importing.xml_encryption import Unlocking
from tests.support.each import each
from tests.support.place import SECRET

B32 = base64.b32encode(SECRET).decode()
HEX = SECRET.hex()
B64 = base64.b64encode(SECRET).decode()
UNLOCKING = Unlocking(lambda: bytes(16), lambda: "")


def read(content: str | bytes, name: str = "") -> tuple[str, Contents]:
    data = content.encode() if isinstance(content, str) else content
    return recognition.read(TokenFile("file", data, "alice"), UNLOCKING, name)


def seen(token: Token) -> str:
    """Return a token in one line, as the tables below have it."""
    assert token.secret == SECRET
    state = f"c{token.next_counter}" if token.kind == "hotp" else f"{token.period}s"
    drift = f"{token.drift:+d}" if token.drift else ""
    return f"{token.user or '-'} {token.kind}{token.digits} {token.algorithm} {state}{drift}"


ALICE = "alice totp6 SHA1 30s"

GOOGLE: dict[str, tuple[str, str]] = {
    "crlf": (f'{B32}\r\n" TOTP_AUTH\r\n', ALICE),
    "bom": (f'\ufeff{B32}\n" TOTP_AUTH\n', ALICE),
    "no newline at the end": (f'{B32}\n" TOTP_AUTH', ALICE),
    "blanks and tabs": (f'{B32[:4]} {B32[4:9]}\t{B32[9:].lower()}  \n" TOTP_AUTH  \n', ALICE),
    "a step": (f'{B32}\n" STEP_SIZE 60\n" TOTP_AUTH\n', "alice totp6 SHA1 60s"),
    "a skew": (f'{B32}\n" TIME_SKEW -3\n" TOTP_AUTH\n', "alice totp6 SHA1 30s-3"),
    "a skew of nothing": (f'{B32}\n" TIME_SKEW\n" TOTP_AUTH\n', ALICE),
    "the first of a key counts": (
        f'{B32}\n" TIME_SKEW 2\n" TIME_SKEW 9\n" TOTP_AUTH\n',
        "alice totp6 SHA1 30s+2",
    ),
    "unknown keys": (f'{B32}\n" LAST0 1 2\n" RESETTING_TIME_SKEW 1+2 3-4\n" TOTP_AUTH\n', ALICE),
    "a counter wins": (f'{B32}\n" TOTP_AUTH\n" HOTP_COUNTER 5\n', "alice hotp6 SHA1 c5"),
    "a counter below 1 counts as none": (f'{B32}\n" TOTP_AUTH\n" HOTP_COUNTER 0\n', ALICE),
}
OATH: dict[str, tuple[str, str]] = {
    "tabs and blanks": (f"  HOTP/T30\talice\t-\t{HEX}\t\r\n", ALICE),
    "a comment and upper case": (
        f"# c\n\nHOTP/T60/8 alice + {HEX.upper()}\n",
        "alice totp8 SHA1 60s",
    ),
    "hotp of an administrator": (f"HOTP alice - {HEX} 7\n", "alice hotp6 SHA1 c7"),
    "hotp after a login": (
        f"HOTP/E/8 alice - {HEX} 7 12345678 2026-11-01T09:12:33L\n",
        "alice hotp8 SHA1 c8",
    ),
    "the counter of totp": (f"HOTP/T30 alice - {HEX} 7\n", ALICE),
    "apache, four fields more": (
        f"HOTP alice - {HEX} 7 0 123456 2026-11-01T09:12:33L 192.0.2.1\n",
        "alice hotp6 SHA1 c7",
    ),
    "apache, failures alone": (f"HOTP alice - {HEX} 7 2\n", "alice hotp6 SHA1 c7"),
    "apache, without failures": (
        f"HOTP/T30 alice - {HEX} -2 123456 2026-11-01T09:12:33L 192.0.2.1\n",
        "alice totp6 SHA1 30s-2",
    ),
    "apache, an offset alone": (f"HOTP/T30 alice - {HEX} -2\n", "alice totp6 SHA1 30s-2"),
}
OTPAUTH: dict[str, tuple[str, str]] = {
    "bare": (f"otpauth://totp/alice?secret={B32}", ALICE),
    "upper case": (f"OTPAUTH://TOTP/alice?SECRET={B32}&ALGORITHM=SHA1", ALICE),
    "issuer and blank": (f"otpauth://totp/Ex%20ample:%20alice?secret={B32}&issuer=Ex+ample", ALICE),
    "an escaped colon": (f"otpauth://totp/Example%3Aalice?secret={B32}", ALICE),
    "an address as issuer": (f"otpauth://totp/https%3A%2F%2Fx:alice?secret={B32}", ALICE),
    "lower case, blanks, padding": (
        f"otpauth://totp/alice?secret={B32[:4].lower()}%20{B32[4:].lower()}%3D%3D&digits=6",
        ALICE,
    ),
    "sha-256": (
        f"otpauth://totp/alice?secret={B32}&algorithm=hmac-sha-256&digits=8&period=60",
        "alice totp8 SHA256 60s",
    ),
    "empty parameters": (f"otpauth://totp/alice?secret={B32}&digits=&period=&algorithm=", ALICE),
    "hotp": (f"otpauth://hotp/alice?secret={B32}&counter=0", "alice hotp6 SHA1 c0"),
    "unicode": (f"otpauth://totp/J%C3%BCrgen?secret={B32}", "Jürgen totp6 SHA1 30s"),
    "crlf, comments, blanks": (f"# x\r\n\r\n  otpauth://totp/alice?secret={B32}  \r\n", ALICE),
    "nobody": (f"otpauth://totp/?secret={B32}", "- totp6 SHA1 30s"),
}
ENTRA: dict[str, tuple[str, str]] = {
    "as documented": (
        f"upn,serial number,secret key,time interval,manufacturer,model\nalice,1,{B32},30,C,T\n",
        ALICE,
    ),
    "another order, case and quotes": (
        '\ufeff"Secret Key" ,"TIME INTERVAL","UPN","Serial Number"\r\n'
        f'"{B32}"," 60 ","alice","1"\r\n',
        "alice totp6 SHA1 60s",
    ),
    "semicolons": (f"upn;serial number;secret key;time interval\nalice;1;{B32};30\n", ALICE),
    "tabs": (f"upn\tserial number\tsecret key\nalice\t1\t{B32}\n", ALICE),
    "optional columns missing": (f"upn,secret key\nalice,{B32}\n", ALICE),
    "empty cells at the end": (f"upn,secret key\nalice,{B32},,,\n", ALICE),
    "lower case and blanks": (
        f"upn,secret key\nalice,{B32[:4].lower()} {B32[4:].lower()}\n",
        ALICE,
    ),
    "a hash": (
        f"upn,serial number,secret key,time interval,hash function\nalice,1,{B32},30,hmacsha256\n",
        "alice totp6 SHA256 30s",
    ),
    "comments above": (f"# of 2026\n\nupn,secret key\nalice,{B32}\n", ALICE),
}
PRIVACYIDEA: dict[str, tuple[str, str]] = {
    "one row": (f"SN1,{HEX},totp,6,30\n", "- totp6 SHA1 30s"),
    "quotes": (f'"SN1","{HEX}","totp","6","30"\n', "- totp6 SHA1 30s"),
    "a blank after the quote": (f'"SN1" , "{HEX}" , "totp" , "8"\n', "- totp8 SHA1 30s"),
    "short": (f"SN1,{HEX}\n", "- hotp6 SHA1 c0"),
    "empty cells": (f"SN1,{HEX},TOTP,,\n", "- totp6 SHA1 30s"),
    "a header": (
        f"Serial Number,Seed,Token Type,OTP length,Time step\nSN1,{HEX},TOTP,6,60\n",
        "- totp6 SHA1 60s",
    ),
    "a header in another order": (
        f"user,type,counter,key,serial\nalice,hotp,4,{HEX},SN1\n",
        "alice hotp6 SHA1 c4",
    ),
    "users": (f"# version: 2\nalice,r,r,SN1,{HEX},totp,6,30\n", ALICE),
    "bom, crlf, comment": (
        f"\ufeff# it's a \"comment\r\nSN1,{HEX},totp,6,30\r\n",
        "- totp6 SHA1 30s",
    ),
}


def andotp(**fields: object) -> str:
    return json.dumps([{"secret": B32, "label": "alice"} | fields])


def aegis(info: dict[str, object] | None = None, **fields: object) -> str:
    entry = {"type": "totp", "name": "alice", "issuer": "x", "info": {"secret": B32} | (info or {})}
    document = {"version": 1, "header": {}, "db": {"version": 2, "entries": [entry | fields]}}
    return json.dumps(document)


def freeotp(**fields: object) -> str:
    secret = [byte - 256 if byte > 127 else byte for byte in SECRET]
    entry = {"type": "TOTP", "label": "alice", "issuerExt": "x", "secret": secret}
    return json.dumps({"tokenOrder": [], "tokens": [entry | fields]})


def two_fas(otp: dict[str, object], **fields: object) -> str:
    service = {"name": "x", "secret": B32, "otp": {"account": "alice"} | otp} | fields
    return json.dumps({"services": [service], "schemaVersion": 4})


def bitwarden(totp: str, user: str | None = "alice") -> str:
    login = {"username": user, "password": "p", "totp": totp}
    return json.dumps({"encrypted": False, "items": [{"type": 1, "name": "x", "login": login}]})


BITWARDEN_HEADER = (
    "collections,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp"
)
JSON: dict[str, tuple[str, str]] = {
    "andotp of old": (andotp(), ALICE),
    "andotp, numbers as text": (andotp(digits="8", period="60"), "alice totp8 SHA1 60s"),
    "andotp, padding": (andotp(secret=B32.lower() + "===="), ALICE),
    "andotp, hotp": (andotp(type="HOTP", counter=3), "alice hotp6 SHA1 c3"),
    "andotp, a hyphen in the account": (
        andotp(issuer="", label="ann - alice"),
        "ann - alice totp6 SHA1 30s",
    ),
    "aegis": (aegis(), ALICE),
    "aegis, nulls": (aegis({"digits": None, "algo": None, "period": None}), ALICE),
    "aegis, sha512": (aegis({"algo": "SHA512", "digits": 8}), "alice totp8 SHA512 30s"),
    "aegis, hotp": (aegis({"counter": 0}, type="hotp"), "alice hotp6 SHA1 c0"),
    "aegis with a bom": ("\ufeff" + aegis(), ALICE),
    "aegis, digits 8.0": (aegis({"digits": 8.0}), "alice totp8 SHA1 30s"),
    "freeotp+": (freeotp(), ALICE),
    "freeotp+, all fields": (
        freeotp(algo="SHA256", digits=8, period=60, counter=0),
        "alice totp8 SHA256 60s",
    ),
    "freeotp+, hotp": (freeotp(type="HOTP", counter=41), "alice hotp6 SHA1 c41"),
    "2fas": (two_fas({}), ALICE),
    "2fas, hotp without a counter": (two_fas({"tokenType": "HOTP"}), "alice hotp6 SHA1 c0"),
    "2fas, no account": (two_fas({"account": None, "label": "x:alice"}), ALICE),
    "bitwarden, a secret": (bitwarden(f" {B32[:4].lower()} {B32[4:].lower()}"), ALICE),
    "bitwarden, an address": (
        bitwarden(f"otpauth://totp/x:bob?secret={B32}"),
        "bob totp6 SHA1 30s",
    ),
    "bitwarden, no account": (bitwarden(f"otpauth://totp/?secret={B32}"), ALICE),
    "bitwarden, an organization": (f"{BITWARDEN_HEADER}\nIT,login,x,,,0,,alice,p,{B32}\n", ALICE),
    "bitwarden, a note of lines": (
        f'{BITWARDEN_HEADER}\nIT,login,x,"a\n#b\n",,0,,alice,p,{B32}\nIT,note,y,,,0,,,,\n',
        ALICE,
    ),
}


def ldif(*lines: str, name: str = "a") -> str:
    key = "\n".join(lines)
    return (
        f"dn: ipatokenuniqueid={name},cn=otp,dc=x\nobjectClass: ipatoken\n"
        f"objectClass: ipatokenTOTP\nipatokenUniqueID: {name}\n"
        f"ipatokenOwner: uid=alice,cn=users,dc=x\n{key}\n"
    )


LDIF: dict[str, tuple[str, str]] = {
    "base64": (ldif(f"ipatokenOTPkey:: {B64}"), ALICE),
    "folded": (ldif(f"ipatokenOTPkey:: {B64[:9]}\n {B64[9:20]}\n {B64[20:]}"), ALICE),
    "text": (ldif(f"ipatokenOTPkey: {SECRET.decode()}"), ALICE),
    "an option": (ldif(f"IPATOKENOTPKEY;binary:: {B64}"), ALICE),
    "version, comments, results": (
        "# extended LDIF\n#\n\nversion: 1\n\n# a, otp\n"
        + ldif(f"ipatokenOTPkey:: {B64}")
        + "\n# search result\nsearch: 2\nresult: 0 Success\n\n# numEntries: 1\n",
        ALICE,
    ),
    "crlf": (ldif(f"ipatokenOTPkey:: {B64}").replace("\n", "\r\n"), ALICE),
    "a change": (
        ldif(f"ipatokenOTPkey:: {B64}").replace("objectClass", "changetype: add\nobjectClass", 1),
        ALICE,
    ),
    "an owner with escapes": (
        ldif(f"ipatokenOTPkey:: {B64}").replace("uid=alice", "uid=J\\C3\\BCrgen\\+x"),
        "Jürgen+x totp6 SHA1 30s",
    ),
    "an owner in base64": (
        ldif(f"ipatokenOTPkey:: {B64}").replace(
            "ipatokenOwner: uid=alice,cn=users,dc=x",
            "ipatokenOwner:: " + base64.b64encode("uid=Jürgen,dc=x".encode()).decode(),
        ),
        "Jürgen totp6 SHA1 30s",
    ),
    "an offset in seconds": (
        ldif(f"ipatokenOTPkey:: {B64}", "ipatokenTOTPclockOffset: -90"),
        "alice totp6 SHA1 30s-3",
    ),
}


def pskc(key: str, package: str = "", container: str = "", kind: str = "totp") -> str:
    return (
        '<?xml version="1.0"?><KeyContainer Version="1.0" '
        f'xmlns="urn:ietf:params:xml:ns:keyprov:pskc">{container}<KeyPackage>{package}'
        f'<Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:{kind}">{key}</Key>'
        "</KeyPackage></KeyContainer>"
    )


def data(*numbers: str, secret: str = B64) -> str:
    plain = "".join(
        f"<{name}><PlainValue>{value}</PlainValue></{name}>"
        for name, _, value in (number.partition("=") for number in numbers)
    )
    return f"<Data><Secret><PlainValue>{secret}</PlainValue></Secret>{plain}</Data>"


OWNER = "<UserId>CN=x, uid=alice ,dc=y</UserId>"
PSKC: dict[str, tuple[str, str]] = {
    "defaults": (pskc(data() + OWNER), ALICE),
    "numbers as text": (
        pskc(data("Time=0", "TimeInterval= 60 ", "TimeDrift=-4") + OWNER),
        "alice totp6 SHA1 60s-4",
    ),
    "a counter": (pskc(data("Counter=17") + OWNER, kind="hotp"), "alice hotp6 SHA1 c17"),
    "an algorithm of drafts": (
        pskc(data() + OWNER).replace("pskc:totp", "pskc#totp"),
        ALICE,
    ),
    "a prefix": (
        pskc(data() + OWNER)
        .replace("<", "<p:")
        .replace("<p:/", "</p:")
        .replace("<p:?xml", "<?xml")
        .replace("xmlns=", "xmlns:p="),
        ALICE,
    ),
    "a suite and digits": (
        pskc(
            "<AlgorithmParameters><Suite>HMAC-SHA256</Suite>"
            '<ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>' + data() + OWNER
        ),
        "alice totp8 SHA256 30s",
    ),
    "blanks in base64": (pskc(data(secret=f"\n  {B64[:10]}\n  {B64[10:]}\n") + OWNER), ALICE),
    "an owner of the device": (
        pskc(data(), f"<DeviceInfo><SerialNo>1</SerialNo>{OWNER}</DeviceInfo>"),
        ALICE,
    ),
}
GOOD = {
    f"{name}: {spelling}": case
    for name, table in (
        *(("google", GOOGLE), ("oath", OATH), ("otpauth", OTPAUTH), ("entra", ENTRA)),
        *(("privacyidea", PRIVACYIDEA), ("json", JSON), ("ldif", LDIF), ("pskc", PSKC)),
    )
    for spelling, case in table.items()
}


@each("spelling", GOOD)
def test_a_spelling_is_read_as_its_program_means_it(spelling: str) -> None:
    content, expected = GOOD[spelling]
    _, contents = read(content)
    assert ((), [expected]) == (contents.rejected, [seen(token) for token in contents.tokens])


@each("encoding", ["utf-8-sig", "utf-16"])
@each("spelling", ["oath: tabs and blanks", "entra: semicolons", "json: aegis"])
def test_what_windows_saves_is_read(spelling: str, encoding: str) -> None:
    content, expected = GOOD[spelling]
    assert [expected] == [seen(token) for token in read(content.encode(encoding))[1].tokens]


OTHER_TYPES = {
    "steam in a list": (f"otpauth://steam/alice?secret={B32}", "its type is steam"),
    "steam as encoder": (f"otpauth://totp/alice?secret={B32}&encoder=steam", "Steam"),
    "steam as issuer": (f"otpauth://totp/Steam:alice?secret={B32}&issuer=Steam", "Steam"),
    "yandex in a list": (f"otpauth://yaotp/alice?secret={B32}", "its type is yaotp"),
    "motp in a list": (f"otpauth://totp/a?secret={B32}\nmotp://x:alice?secret=ab", "of motp"),
    "aegis, steam": (aegis(type="steam"), "its type is steam"),
    "aegis, motp": (aegis(type="motp"), "its type is motp"),
    "aegis, yandex": (aegis(type="yandex"), "its type is yandex"),
    "aegis, no type": (aegis(type=None), "there is no type"),
    "aegis, a secret as type": (aegis(type=B32), "its type is not known"),
    "aegis, hotp without a counter": (aegis(type="hotp"), "there is no counter"),
    "aegis, digits of no number": (aegis({"digits": [8]}), "number of digits is not a number"),
    "aegis, digits and a half": (aegis({"digits": 6.5}), "number of digits is not a number"),
    "aegis, true digits": (aegis({"digits": True}), "number of digits is not a number"),
    "andotp, steam": (andotp(type="STEAM"), "its type is steam"),
    "andotp, hotp without a counter": (andotp(type="HOTP"), "there is no counter"),
    "freeotp+, steam": (freeotp(issuerExt="Steam"), "Steam"),
    "2fas, steam": (two_fas({"tokenType": "STEAM"}), "its type is steam"),
    "bitwarden, steam": (bitwarden(f"steam://{B32}"), "of steam"),
    "oath, motp": (f"MOTP alice 1234 {HEX}\n", "Mobile-OTP (MOTP) is not OATH"),
    "oath, lower case": (f"HOTP/T30 alice - zz\nhotp/t30 bob - {HEX}\n", "in upper case"),
    "google, a counter of 0 alone": (f'{B32}\n" HOTP_COUNTER 0\n', "nor a HOTP_COUNTER above 0"),
    "google, padding": (f'{B32}==\n" TOTP_AUTH\n', "line 1: the secret is not base32"),
    "privacyidea, ocra": (f"SN1,{HEX},ocra,OCRA-1\n", "its type is ocra"),
    "privacyidea, a hash of two minds": (f"SN1,{'ab' * 28},totp\n", "write the hash into column 6"),
    "entra, a shifted row": (
        f"upn,serial number,secret key\nSmith, alice,1,{B32}\n",
        "it has more cells than the header",
    ),
    "pskc, ocra": (pskc(data(), kind="ocra"), "OCRA"),
    "pskc, two keys": (
        pskc(data()).replace("</KeyPackage>", "<Key Id='2'/></KeyPackage>"),
        "it has more than one key",
    ),
    "pskc, a time that does not begin at 0": (pskc(data("Time=5")), "does not begin at 0"),
    "pskc, no number": (pskc(data("TimeInterval=a")), "TimeInterval is not a number"),
}


@each("case", OTHER_TYPES)
def test_what_is_of_another_kind_is_refused_by_its_name(case: str) -> None:
    content, reason = OTHER_TYPES[case]
    rejected = read(content)[1].rejected
    assert any(reason in each.reason for each in rejected), rejected


def encrypted(document: object) -> bytes:
    return json.dumps(document).encode()


ZIP = b"PK\x03\x04\x14\0\0\0\x08\0"
RANDOM = bytes(range(1, 256)) * 4
UNREADABLE: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "is empty", "copy it once more"),
    "gzip": (zlib.compress(b"x", wbits=31), "packed with gzip", "gunzip"),
    "bzip2": (b"BZh91AY&SY" + RANDOM, "packed with bzip2", "bunzip2"),
    "xz": (b"\xfd7zXZ\0" + RANDOM, "packed with xz", "unxz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + RANDOM, "packed with zstd", "unzstd"),
    "zip": (ZIP + RANDOM, "is a zip archive", "unzip"),
    "7-zip": (b"7z\xbc\xaf\x27\x1c" + RANDOM, "7-Zip", "7z x"),
    "tar": (
        b"a".ljust(257, b"\0") + b"ustar\0" + bytes(200),
        "is a tar archive",
        "name the folder",
    ),
    "keepass": (b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5" + RANDOM, "KeePass", "otpauth address of each"),
    "openssl": (b"Salted__" + RANDOM, "encrypted with openssl", "decrypt it first"),
    "gpg": (b"-----BEGIN PGP MESSAGE-----\n\nhQ\n", "encrypted with OpenPGP", "gpg --decrypt"),
    "age": (b"age-encryption.org/v1\n-> x\n", "encrypted with age", "age --decrypt"),
    "freeotp": (b"\xac\xed\x00\x05sr\0" + RANDOM, "backup of FreeOTP", "FreeOTP+"),
    "sqlite": (b"SQLite format 3\0" + RANDOM, "database of SQLite", "export it"),
    "pdf": (b"%PDF-1.7\nx\n", "is a PDF", "PNG or JPEG"),
    "gif": (b"GIF89a\0\0" + RANDOM, "is a picture of a kind", "PNG or JPEG"),
    "webp": (b"RIFF\0\0\0\0WEBP" + RANDOM, "is a picture of a kind", "PNG or JPEG"),
    "heic": (b"\0\0\0\x18ftypheic" + RANDOM, "is a picture of a kind", "PNG or JPEG"),
    "andotp": ((150_000).to_bytes(4, "big") + RANDOM, "backup of andOTP", "plain backup"),
    "random": (b"\xff" + RANDOM, "is not text: it may be encrypted", "without encryption"),
    "aegis": (
        encrypted({"version": 1, "header": {"slots": []}, "db": "AAAA"}),
        "encrypted export of Aegis",
        "without encryption",
    ),
    "2fas": (
        encrypted({"services": [], "schemaVersion": 4, "servicesEncrypted": "a:b:c"}),
        "encrypted backup of 2FAS",
        "without a password",
    ),
    "bitwarden": (
        encrypted({"encrypted": True, "passwordProtected": True, "data": "2.x"}),
        "encrypted export of Bitwarden",
        "unencrypted",
    ),
    "an app's": (
        encrypted({"version": 1, "kdfParams": {}, "encryptedData": "x"}),
        "is encrypted",
        "without encryption",
    ),
    "json cut off": (aegis().encode()[:-9], "is JSON that is cut off", "copy it once more"),
    "json that is none": (b'{"db": x}', "is not well-formed JSON", ""),
    "pskc cut off": (pskc(data()).encode()[:-9], "</KeyContainer> is missing", ""),
    "pskc of a draft": (
        b"<KeyContainer Version='1'><Device><Key/></Device></KeyContainer>",
        "older than RFC 6030",
        "RFC 6030",
    ),
    "a quote that hides rows": (
        f'SN1,{HEX},totp,6,30\n"SN2,{HEX},totp,6,30\nSN3,{HEX},totp,6,30\n'.encode(),
        "a quote in line 2 is not closed",
        "",
    ),
    "a picture cut off": (b"\x89PNG\r\n\x1a\n", "is damaged", ""),
    "something else": (b"hello\n", "is in no format that is known", "name it with --format"),
}


@each("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named_with_what_helps(case: str) -> None:
    content, problem, hint = UNREADABLE[case]
    with pytest.raises(Unreadable) as raised:
        read(content)
    assert problem in str(raised.value)
    assert hint in raised.value.hint


def test_a_secret_that_begins_as_a_picture_does_is_a_secret() -> None:
    for begin in ("BM", "GIF8", "RIFF", "MM"):
        secret = f"{begin}{B32[len(begin) :]}"
        _, contents = read(f'{secret}\n" TOTP_AUTH\n')
        assert 1 == len(contents.tokens)


def test_a_name_that_is_no_utf_8_keeps_nothing_else_back() -> None:
    _, contents = read(f"HOTP/T30 al\xefce - {HEX}\nHOTP/T30 bob - {HEX}\n".encode("latin-1"))
    assert ["al\udcefce", "bob"] == [token.user for token in contents.tokens]


def test_the_same_token_twice_is_two_entries_of_one() -> None:
    _, contents = read(f"otpauth://totp/alice?secret={B32}\n" * 2)
    assert ["line 1", "line 2"] == [token.place for token in contents.tokens]


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def message(*fields: tuple[int, Any]) -> bytes:
    """Return a message of protocol buffers: numbers as varints, bytes with their length."""
    return b"".join(
        varint(n << 3 | 2) + varint(len(v)) + v
        if isinstance(v, bytes)
        else varint(n << 3) + varint(v)
        for n, v in fields
    )


def batch(*tokens: bytes, of: int = 1, number: int = 0, export: int = 5) -> str:
    payload = message(*((1, token) for token in tokens), (2, 1), (3, of), (4, number), (5, export))
    return f"otpauth-migration://offline?data={base64.b64encode(payload).decode()}"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (((1, SECRET), (2, b"alice")), ALICE),
        (((1, SECRET), (2, b"x:alice"), (3, b"x"), (4, 1), (5, 1), (6, 2)), ALICE),
        (((1, SECRET), (2, b"alice"), (4, 2), (5, 2), (6, 2)), "alice totp8 SHA256 30s"),
        (((1, SECRET), (2, b"alice"), (4, 3), (5, 1), (6, 1), (7, 9)), "alice hotp6 SHA512 c9"),
        (((9, 1), (1, SECRET), (2, "Jürgen".encode())), "Jürgen totp6 SHA1 30s"),
    ],
)
def test_an_entry_of_a_batch_is_read_by_its_enums(fields: Any, expected: str) -> None:
    _, contents = read(batch(message(*fields)))
    assert [expected] == [seen(token) for token in contents.tokens]


@pytest.mark.parametrize(
    "fields", [((4, 5),), ((5, 4),), ((6, 3),)], ids=["algorithm", "digits", "type"]
)
def test_an_enum_that_is_not_known_is_refused(fields: Any) -> None:
    _, contents = read(batch(message((1, SECRET), (2, b"alice"), *fields)))
    assert () == contents.tokens
    assert "is not known" in contents.rejected[0].reason


def test_a_negative_number_of_an_export_is_one_number() -> None:
    """It is an int32, and chance makes half of them negative."""
    token = message((1, SECRET), (2, b"alice"))
    lines = [batch(token, of=2, number=n, export=-77) for n in (1, 0)]
    _, contents = read("\n".join(lines))
    assert {(2**64 - 77, 0, 2), (2**64 - 77, 1, 2)} == set(contents.parts)
