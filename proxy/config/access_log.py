"""Compiled access logs (`config.accesslog.v3`). Data only; `proxy/access_log/` acts on it."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import HeaderMatcher, PluginConfig
from proxy.config.metadata import MetadataMatcher


class Comparison(msgspec.Struct, frozen=True, gc=False, tag="comparison"):
    """`status_code_filter` or `duration_filter`: the exchange's `subject` (milliseconds) compared with `value`."""

    subject: Literal["status", "duration"]
    op: Literal["EQ", "GE", "LE", "NE"]
    value: int


class NotHealthCheck(msgspec.Struct, frozen=True, gc=False, tag="not_health_check"):
    """`not_health_check_filter`."""


class HeaderFilter(msgspec.Struct, frozen=True, gc=False, tag="header"):
    """`header_filter`: what the request's headers must be."""

    header: HeaderMatcher


class ResponseFlags(msgspec.Struct, frozen=True, gc=False, tag="response_flags"):
    """`response_flag_filter`: any of these flags, or any flag at all if there are none."""

    flags: tuple[str, ...] = ()


class Share(msgspec.Struct, frozen=True, gc=False, tag="share"):
    """`runtime_filter`: `numerator` of `denominator` requests. Those with the same id are in it together or not at all,
    unless each is drawn (`independent`).
    """

    numerator: int
    denominator: int
    independent: bool = False


class GrpcStatuses(msgspec.Struct, frozen=True, gc=False, tag="grpc_statuses"):
    """`grpc_status_filter`: these statuses, or all but these."""

    statuses: tuple[int, ...]
    exclude: bool = False


class LogTypes(msgspec.Struct, frozen=True, gc=False, tag="log_types"):
    """`log_type_filter`: entries of these types (`%ACCESS_LOG_TYPE%`), or of all but these."""

    types: tuple[str, ...]
    exclude: bool = False


class Traceable(msgspec.Struct, frozen=True, gc=False, tag="traceable"):
    """`traceable_filter`."""


class MetadataFilter(msgspec.Struct, frozen=True, gc=False, tag="metadata"):
    """`metadata_filter`: what the dynamic metadata must be, or whether exchanges are logged that have nothing there."""

    matcher: MetadataMatcher | None
    if_absent: bool = True


class ExtensionFilter(msgspec.Struct, frozen=True, tag="extension"):
    """`extension_filter`: a plug-in."""

    filter: PluginConfig


class Combination(msgspec.Struct, frozen=True, tag="combination"):
    """`and_filter` or `or_filter`."""

    op: Literal["and", "or"]
    filters: tuple[AccessLogFilter, ...]


AccessLogFilter = (
    Comparison
    | NotHealthCheck
    | HeaderFilter
    | ResponseFlags
    | Share
    | GrpcStatuses
    | LogTypes
    | Traceable
    | MetadataFilter
    | ExtensionFilter
    | Combination
)


class AccessLog(msgspec.Struct, frozen=True):
    """`config.accesslog.v3.AccessLog`: a logger, and which exchanges it logs (None: all)."""

    logger: PluginConfig
    filter: AccessLogFilter | None = None


class Format(msgspec.Struct, frozen=True, gc=False):
    """`config.core.v3.SubstitutionFormatString`: `json_format`, the tree as JSON, or else `text`. `content_type` is of
    interest to bodies alone.
    """

    text: str = ""
    json_format: str | None = None
    omit_empty_values: bool = False
    content_type: str = ""
