"""Find the processes that listen on a Unix socket: by its inode, not by its name.

/proc/net/unix shows names, and anybody may bind a socket of the same name in a mount namespace of
their own. sock_diag(7) tells the inode and device of the file that a socket was bound to, which
there is one of.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

PROC = "/proc/net/unix"
TIMEOUT = 10.0  # seconds
_LISTENING = 0x00010000  # __SO_ACCEPTCON, in the flags of /proc/net/unix
# linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST, _DUMP = 4, 20, 0x001, 0x300
_ERROR, _DONE, _LISTEN, _SHOW_VFS, _VFS = 2, 3, 10, 0x02, 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION = struct.Struct("=BBHIIIII")  # family, protocol, pad, states, inode, show, cookie
_ANSWER_BYTES = 16
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_FILE = struct.Struct("=II")  # inode, device: as the kernel numbers it
_MINOR_BITS = 20
_BUFFER_BYTES = 65536


def is_listening(path: str) -> bool:
    """Tell, without connecting, whether somebody listens on the socket that lies at ``path``."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    try:
        files = set(_files_listened_on())
    except OSError:  # a kernel without unix_diag: all that is left is the name
        return _is_named(path)
    device = os.major(status.st_dev) << _MINOR_BITS | os.minor(status.st_dev)
    return (status.st_ino & 0xFFFFFFFF, device) in files


def _files_listened_on() -> Iterator[tuple[int, int]]:
    """Yield inode and device of every file that a socket is bound to which listens."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(TIMEOUT)
        question = _QUESTION.pack(socket.AF_UNIX, 0, 0, 1 << _LISTEN, 0, _SHOW_VFS, 0, 0)
        length = _HEADER.size + len(question)
        flags = _REQUEST | _DUMP
        netlink.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + question)
        while True:
            for kind, message in _messages(netlink.recv(_BUFFER_BYTES)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    (number,) = struct.unpack_from("=i", message)
                    raise OSError(-number, os.strerror(-number))
                yield from _file_of(message[_ANSWER_BYTES:])


def _messages(packet: bytes) -> Iterator[tuple[int, bytes]]:
    while len(packet) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(packet)
        yield kind, packet[_HEADER.size : length]
        packet = packet[max(_aligned(length), _HEADER.size) :]


def _file_of(attributes: bytes) -> Iterator[tuple[int, int]]:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _VFS and length >= _ATTRIBUTE.size + _FILE.size:
            inode, device = _FILE.unpack_from(attributes, _ATTRIBUTE.size)
            yield inode, device
        attributes = attributes[max(_aligned(length), _ATTRIBUTE.size) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _is_named(path: str) -> bool:
    with open(PROC, encoding="utf-8", errors="replace") as file:
        return any(_is_listener(row, path) for row in file)


def _is_listener(row: str, path: str) -> bool:
    """Tell it from other rows; anybody may have sockets with names of blanks and newlines."""
    fields = row.rstrip("\n").split(None, 7)
    if len(fields) < 8 or fields[7] != path:
        return False
    try:
        return bool(int(fields[3], 16) & _LISTENING)
    except ValueError:
        return False
