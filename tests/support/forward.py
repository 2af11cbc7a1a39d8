"""Forward connections, so that machines without a network reach a server: forward.py FROM TO.

Each is ``tcp:HOST:PORT``, or ``unix:PATH`` in a folder that both sides see. It runs until killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_BYTES = 65536


async def main(listen: str, connect: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reader_there, writer_there = await _open(connect)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, writer_there), _copy(reader_there, writer))

    kind, _, place = listen.partition(":")
    if kind == "unix":
        server = await asyncio.start_unix_server(serve, place)
    else:
        host, _, port = place.rpartition(":")
        server = await asyncio.start_server(serve, host, int(port))
    await server.serve_forever()


async def _open(connect: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, place = connect.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(place)
    host, _, port = place.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
