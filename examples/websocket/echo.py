"""A WebSocket service: `echo.py PORT`. It gives every message back; a plain GET is answered in plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http
import sys

from websockets.asyncio.server import Request, Response, ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def answer(connection: ServerConnection, request: Request) -> Response | None:
    """The response to a request that asks for no upgrade; None lets the handshake go on."""
    if "upgrade" in request.headers:
        return None
    return connection.respond(http.HTTPStatus.OK, f"plain HTTP: {request.path}\n")


async def main(port: int) -> None:
    async with serve(echo, "127.0.0.1", port, process_request=answer) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1])))
