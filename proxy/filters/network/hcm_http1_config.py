"""The connection manager's `http_protocol_options`."""

from __future__ import annotations

from typing import Any

from proxy.config.context import CompileContext
from proxy.config.http1 import Http1Options
from proxy.http import header_case

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.Http1ProtocolOptions": (
        "accept_http_10",
        "default_host_for_http_10",
        "allow_absolute_url",
        "allow_custom_methods",
        "header_key_format",
        "enable_trailers",
        "ignore_http_11_upgrade",
    ),
    **header_case.FIELDS,
}


def options(message: Any, context: CompileContext) -> Http1Options:
    """An `Http1ProtocolOptions` message, for which `context` stands."""
    if message.send_fully_qualified_url:
        context.error(("send_fully_qualified_url",), "it says what upstreams are sent", "the cluster's field")
    return Http1Options(
        accept_http_10=message.accept_http_10,
        default_host_for_http_10=message.default_host_for_http_10,
        allow_absolute_url=message.allow_absolute_url.value if message.HasField("allow_absolute_url") else True,
        allow_custom_methods=message.allow_custom_methods,
        header_case=header_case.from_proto(message, context),
        enable_trailers=message.enable_trailers,
        ignored_upgrades=tuple(
            context.string_matcher(matcher, "ignore_http_11_upgrade", index)
            for index, matcher in enumerate(message.ignore_http_11_upgrade)
        ),
    )
