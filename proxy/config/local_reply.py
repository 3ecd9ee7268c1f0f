"""`LocalReplyConfig` of an HTTP connection manager, compiled. Data only."""

from __future__ import annotations

import msgspec

from proxy.config.access_log import AccessLogFilter, Format
from proxy.config.header_mutation import Mutation


class Mapper(msgspec.Struct, frozen=True):
    """`ResponseMapper`: what becomes of the replies that `filter` lets through; None changes nothing."""

    filter: AccessLogFilter
    status: int | None = None
    body: bytes | None = None
    format: Format | None = None
    headers: tuple[Mutation, ...] = ()


class LocalReplyConfig(msgspec.Struct, frozen=True):
    """The first mapper that fits counts. `format` is of the replies whose mapper has none."""

    mappers: tuple[Mapper, ...] = ()
    format: Format | None = None
