"""HTTP/2 frames as bytes (RFC 9113 sections 4 and 6): names, numbers, and how each kind is written."""

from __future__ import annotations

import enum
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEAD = struct.Struct(">BHBBL")
"""Length (24 bits, in two parts), type, flags, stream."""

HEAD_SIZE = 9
MAX_WINDOW = 2**31 - 1
MAX_STREAM_ID = 2**31 - 1
MIN_FRAME_SIZE = 16384
"""What every peer accepts (SETTINGS_MAX_FRAME_SIZE's initial value)."""

DEFAULT_WINDOW = 65535

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20


class Setting(enum.IntEnum):
    """RFC 9113 6.5.2, RFC 8441 section 3."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8


class ErrorCode(enum.IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ConnectionFailed(Exception):
    """The connection ends with a GOAWAY of this `code`. `detail` says why; `flood` names a broken budget's stat."""

    def __init__(self, code: ErrorCode, detail: str, flood: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.flood = flood


class StreamFailed(Exception):
    """One stream ends with a RST_STREAM of this `code`. `invalid`: its message is no valid HTTP; some want the
    connection to end with it."""

    def __init__(self, stream_id: int, code: ErrorCode, detail: str, *, invalid: bool = False) -> None:
        super().__init__(detail)
        self.stream_id = stream_id
        self.code = code
        self.detail = detail
        self.invalid = invalid


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A whole frame."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def head(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The head of a frame whose payload of `size` bytes follows by itself."""
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id)


def settings(values: dict[Setting, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in values.items()))


SETTINGS_ACK = frame(SETTINGS, ACK, 0, b"")


def ping(data: bytes, *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, data)


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def goaway(last_stream_id: int, code: int) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last_stream_id, code))


def header_frames(stream_id: int, block: bytes, max_size: int, *, end_stream: bool) -> bytes:
    """A HEADERS frame, and as many CONTINUATIONs as a long `block` needs (RFC 9113 6.10)."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_size:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [block[start : start + max_size] for start in range(0, len(block), max_size)]
    frames = [frame(HEADERS, flags, stream_id, parts[0])]
    frames += [frame(CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    return b"".join([*frames, frame(CONTINUATION, END_HEADERS, stream_id, parts[-1])])


def unpadded(flags: int, payload: bytes) -> bytes:
    """`payload` without its padding (RFC 9113 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.padding_error")
    return payload[1 : len(payload) - payload[0]]
