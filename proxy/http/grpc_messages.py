"""The messages of one direction of a gRPC call, cut out of the bytes of a body. Sans-IO."""

from __future__ import annotations

from proxy.http.grpc import FRAME_HEAD, GrpcStatus

_COMPRESSED = 1


class GrpcError(Exception):
    """A call that did not end with OK, or that never began. `status` is the call's, `message` what goes with it."""

    def __init__(self, status: GrpcStatus, message: str = "") -> None:
        super().__init__(f"{status.name}: {message}" if message else status.name)
        self.status = status
        self.message = message


class MessageReader:
    """Takes bytes and gives whole messages of `limit` bytes at most. Compressed ones were not asked for
    (`grpc-accept-encoding` says so).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Bytes that have come."""
        self._data += data

    def next(self) -> bytes | None:
        """The next whole message, None if there is none yet. Raises `GrpcError` for one that may not be."""
        data = self._data
        if len(data) < FRAME_HEAD:
            return None
        if data[0]:
            compressed = data[0] == _COMPRESSED
            raise GrpcError(
                GrpcStatus.INTERNAL, f"a {'compressed message' if compressed else 'frame'} nobody asked for"
            )
        size = int.from_bytes(data[1:FRAME_HEAD], "big")
        if size > self._limit:
            raise GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, f"a message of {size} bytes; {self._limit} are the limit")
        if len(data) < FRAME_HEAD + size:
            return None
        message = bytes(data[FRAME_HEAD : FRAME_HEAD + size])
        del data[: FRAME_HEAD + size]
        return message

    @property
    def missing(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._data)
