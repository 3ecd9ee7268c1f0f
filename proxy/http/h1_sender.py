"""The sending half that both HTTP/1 codecs have in common: what follows the head of the message that is under way."""

from __future__ import annotations

from proxy.http.codec import CodecError
from proxy.http.h1_writer import BodyWriter
from proxy.http.headers import Headers


class H1Sender:
    """A codec queues the head itself and sets the `_writer` of what follows. `_sent`: the message is complete, or there
    is none; `_close`: the connection ends with it. Without `enable_trailers` none are sent. There is one exchange at
    a time, so `stream_id` is not used.
    """

    def __init__(self, *, enable_trailers: bool, sent: bool) -> None:
        self._enable_trailers = enable_trailers
        self._output: list[bytes] = []
        self._header_bytes_sent = 0
        self._writer: BodyWriter | None = None
        self._sent = sent
        self._close = False

    def header_bytes_sent(self, stream_id: int) -> int:
        """Those of the current exchange."""
        return self._header_bytes_sent

    def send_data(self, stream_id: int, data: bytes) -> None:
        """Queue body bytes. More than the head promised raises `CodecError`; the connection must be closed then."""
        try:
            self._output += self._open_writer().data(data)
        except CodecError:
            self._close = True
            raise

    def send_end(self, stream_id: int, trailers: Headers | None = None) -> None:
        """End the message. A body shorter than promised raises `CodecError`; the connection must be closed then."""
        try:
            self._output += self._open_writer().end(trailers if self._enable_trailers else None)
        except CodecError:
            self._close = True
            raise
        self._sent = True

    @property
    def body_room(self) -> int:
        """How many body bytes may go around now; see `BodyWriter`."""
        return 0 if self._writer is None or self._sent else self._writer.room

    def send_around(self, stream_id: int, count: int) -> None:
        """Queue what stands before `count` body bytes that go around: they follow the output that is taken next."""
        self._output += self._open_writer().around(count)

    def take_output(self) -> bytes:
        """Everything queued since the last call."""
        output, self._output = self._output, []
        return output[0] if len(output) == 1 else b"".join(output)

    def _open_writer(self) -> BodyWriter:
        if self._writer is None or self._sent:
            raise RuntimeError("no message is open")
        return self._writer
