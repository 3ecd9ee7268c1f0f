"""HTTP/1 or HTTP/2? What TLS has agreed on, or a client's first bytes say, where `codec_type` leaves it to them."""

from __future__ import annotations

from proxy.filters.network.hcm_config import Config
from proxy.http.h2_frames import PREFACE
from proxy.net.connection import Connection

_TELLING = PREFACE[:14]  # "PRI * HTTP/2.0": no request of HTTP/1 begins like this


def may_be_http2(connection: Connection, arrived: bytes, config: Config) -> bool:
    """Whether `connection`, whose first bytes are `arrived`, speaks HTTP/2, or may yet turn out to."""
    if config.codec_type != "AUTO":
        return config.codec_type == "HTTP2"
    agreed = connection.tls.alpn if connection.tls is not None else ""
    if agreed:
        return agreed == "h2"
    return arrived.startswith(_TELLING) or _TELLING.startswith(arrived)


async def detect(connection: Connection, arrived: bytes, config: Config) -> tuple[bytes, bool]:
    """All first bytes as far as they have to be read, and whether they are HTTP/2's. The caller bounds the wait."""
    while arrived and len(arrived) < len(_TELLING) and may_be_http2(connection, arrived, config):
        if not _TELLING.startswith(arrived):
            break  # of HTTP/2 nevertheless, for whoever reads it as that to refuse
        more = await connection.receive()
        if not more:
            return arrived, False
        arrived += more
    return arrived, may_be_http2(connection, arrived, config)
