"""`grpc_health_check`: `grpc.health.v1.Health/Check` of the gRPC health checking protocol."""

from __future__ import annotations

from typing import Final

import trio

from proxy.config.health_check import GrpcCheck
from proxy.errors import ProxyError
from proxy.http import grpc
from proxy.http.grpc_messages import GrpcError
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.upstream.grpc_client import GrpcCall
from proxy.upstream.health.target import USER_AGENT, Target
from proxy.upstream.health.verdicts import Failure, Result

PATH: Final = b"/grpc.health.v1.Health/Check"
SERVING: Final = 1
"""`HealthCheckResponse.ServingStatus`."""

MAX_ANSWER: Final = 4096
"""Bytes; what is told is one small number."""

_STATUS = 1  # the field of `HealthCheckResponse`


class GrpcChecker:
    """Implements `Checker`."""

    def __init__(self, target: Target[GrpcCheck]) -> None:
        self._target = target
        self._pool = target.pool(http2=True)
        service = target.kind.service.encode()
        self._request = b"\x0a" + _varint(len(service)) + service if service else b""

    async def check(self) -> Result:
        try:
            result = await self._call()
        except GrpcError:
            result = Result(Failure.ACTIVE)
        except ProxyError:
            return Result(Failure.NETWORK)
        if not self._target.reuses:
            self.abandon()
        return result

    async def _call(self) -> Result:
        """Raises `GrpcError`, or `ProxyError` where no answer has come."""
        target = self._target
        stream = await self._pool.open(target.outcomes)
        try:
            headers = Headers(
                [
                    (b"te", b"trailers"),
                    (b"content-type", grpc.CONTENT_TYPE),
                    (b"user-agent", USER_AGENT),
                ]
            )
            target.edit(headers, StreamInfo(trio.current_time()))
            headers.set(b"grpc-timeout", b"%dm" % max(1, round(target.timeout * 1000)))
            await stream.send_request(b"POST", PATH, target.authority, headers, end_stream=False, scheme=target.scheme)
            call = GrpcCall(stream, MAX_ANSWER, trio.Event())
            await call.send(self._request, last=True)
            answer = await call.receive()
            while answer is not None and (more := await call.receive()) is not None:
                if more and answer:
                    raise GrpcError(grpc.GrpcStatus.INTERNAL, "more than one answer")
                answer = more or answer
        finally:
            stream.close()
        serving = answer is not None and _last_number(answer, _STATUS) == SERVING
        return Result() if serving else Result(Failure.ACTIVE)

    async def watch(self) -> Result:
        await trio.sleep_forever()
        raise AssertionError

    def abandon(self) -> None:
        self._pool.drain()
        self._pool = self._target.pool(http2=True)

    def close(self) -> None:
        self._pool.drain()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _last_number(message: bytes, field: int) -> int:
    """What the varint `field` of a protobuf message is; 0 by default. Raises `GrpcError` for what is no message.

    By hand, since workers hold no protobuf: it costs each of them more memory than their hosts do.
    """
    at = found = 0
    try:
        while at < len(message):
            key, at = _varint_at(message, at)
            match key & 7:
                case 0:
                    number, at = _varint_at(message, at)
                    found = number if key >> 3 == field else found
                case 1:
                    at += 8
                case 2:
                    size, at = _varint_at(message, at)
                    at += size
                case 5:
                    at += 4
                case _:
                    raise GrpcError(grpc.GrpcStatus.INTERNAL, "no protobuf message")
    except IndexError:
        at = -1
    if at != len(message):
        raise GrpcError(grpc.GrpcStatus.INTERNAL, "a message that is cut short")
    return found


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    """The varint that begins `at`, and where it ends. Raises `IndexError` if it does not."""
    number = shift = 0
    while message[at] & 0x80:
        number |= (message[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | message[at] << shift, at + 1
