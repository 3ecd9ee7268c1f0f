"""Bytes on the wire, of heads and of all (Envoy's `BytesMeter`), from what is counted or at hand anyway."""

from __future__ import annotations

from proxy.access_log.operator import Build, Value, constant, plain
from proxy.http.stream_info import StreamInfo


def fields_size(head: bytes) -> int:
    """What Envoy's HTTP/1 codec counts of a head as it came: names and values without the space around them, and 3
    bytes for each; the 3 bytes even if there is no field. `head` may go on behind its end.
    """
    begin, end = head.find(b"\r\n") + 2, head.find(b"\r\n\r\n")
    if end < begin:
        return 3 if head else 0
    size = 0
    for line in head[begin:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        size += len(name) + len(value.strip(b" \t")) + 3
    return size


def _received(info: StreamInfo) -> Value:
    if info.meter is not None:
        return info.meter.received
    return info.connection.bytes_received - info.received_before if info.connection is not None else 0


def _sent(info: StreamInfo) -> Value:
    if info.meter is not None:
        return info.meter.sent
    return info.connection.bytes_sent - info.sent_before if info.connection is not None else 0


def _headers_received(info: StreamInfo) -> Value:
    return fields_size(info.request_head) if info.meter is None else info.meter.header_received


def _headers_sent(info: StreamInfo) -> Value:
    return info.header_bytes_sent if info.meter is None else info.meter.header_sent


def _upstream_received(info: StreamInfo) -> Value:
    running = info.transfer
    return info.upstream_bytes_received + (running.bytes_received if running is not None else 0)


def _upstream_sent(info: StreamInfo) -> Value:
    running = info.transfer
    return info.upstream_bytes_sent + (running.bytes_sent if running is not None else 0)


def _upstream_headers_received(info: StreamInfo) -> Value:
    """Of heads that came as text what Envoy would count of them; the others were counted as they came."""
    running = info.transfer
    heads, size = info.response_heads, info.upstream_header_bytes_received
    if running is not None:
        heads, size = (*heads, *running.heads), size + running.header_bytes_received
    return size + sum(map(fields_size, heads))


def _upstream_headers_sent(info: StreamInfo) -> Value:
    running = info.transfer
    return info.upstream_header_bytes_sent + (running.header_bytes_sent if running is not None else 0)


OPERATORS: dict[str, Build] = {
    "BYTES_RETRANSMITTED": plain(constant(0)),  # there is no HTTP/3
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": plain(_headers_received),  # HTTP/1 compresses nothing
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT": plain(_headers_sent),
    "DOWNSTREAM_HEADER_BYTES_RECEIVED": plain(_headers_received),
    "DOWNSTREAM_HEADER_BYTES_SENT": plain(_headers_sent),
    "DOWNSTREAM_WIRE_BYTES_RECEIVED": plain(_received),
    "DOWNSTREAM_WIRE_BYTES_SENT": plain(_sent),
    "PACKETS_RETRANSMITTED": plain(constant(0)),
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": plain(_upstream_headers_received),
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT": plain(_upstream_headers_sent),
    "UPSTREAM_HEADER_BYTES_RECEIVED": plain(_upstream_headers_received),
    "UPSTREAM_HEADER_BYTES_SENT": plain(_upstream_headers_sent),
    "UPSTREAM_WIRE_BYTES_RECEIVED": plain(_upstream_received),
    "UPSTREAM_WIRE_BYTES_SENT": plain(_upstream_sent),
}
