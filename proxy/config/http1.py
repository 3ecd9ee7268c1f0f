"""How HTTP/1 is spoken: compiled `config.core.v3.Http1ProtocolOptions`. Data only."""

from __future__ import annotations

import msgspec

from proxy.config.common import StringMatcher


class HeaderCase(msgspec.Struct, frozen=True, gc=False):
    """`header_key_format`. `preserves`: names go on as their sender wrote them (`preserve_case`), and `proper` is about
    our own names alone, and `forwards_reason` about the reason phrase of a response. Otherwise all that we send here
    has proper case.
    """

    preserves: bool = False
    proper: bool = False
    forwards_reason: bool = False


class Http1Options(msgspec.Struct, frozen=True):
    """Of a listener. `ignored_upgrades` are `ignore_http_11_upgrade`."""

    accept_http_10: bool = False
    default_host_for_http_10: str = ""
    allow_absolute_url: bool = True
    allow_custom_methods: bool = False
    header_case: HeaderCase | None = None
    enable_trailers: bool = False
    ignored_upgrades: tuple[StringMatcher, ...] = ()


class UpstreamHttp1Options(msgspec.Struct, frozen=True):
    """Of a cluster."""

    header_case: HeaderCase | None = None
    enable_trailers: bool = False
    send_fully_qualified_url: bool = False
