"""Compiled access logs (`config.accesslog.v3`). Data only; `proxy/access_log/` acts on it."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import HeaderMatcher, PluginConfig


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


class Combination(msgspec.Struct, frozen=True, tag="combination"):
    """`and_filter` or `or_filter`."""

    op: Literal["and", "or"]
    filters: tuple[AccessLogFilter, ...]


AccessLogFilter = Comparison | NotHealthCheck | HeaderFilter | ResponseFlags | Combination


class AccessLog(msgspec.Struct, frozen=True):
    """`config.accesslog.v3.AccessLog`: a logger, and which exchanges it logs (None: all)."""

    logger: PluginConfig
    filter: AccessLogFilter | None = None


class Format(msgspec.Struct, frozen=True, gc=False):
    """`config.core.v3.SubstitutionFormatString`: `json_format`, the tree as JSON, or else `text`."""

    text: str = ""
    json_format: str | None = None
    omit_empty_values: bool = False
