"""What leads equal requests to the same host: `config.route.v3.RouteAction.HashPolicy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile import rewrites
from proxy.config.hash_policy import CookieMaker, HashPolicy
from proxy.http.cookies import IN_A_COOKIE

if TYPE_CHECKING:
    from master.config.compile.context import Context

_PACKAGE = "envoy.config.route.v3.RouteAction.HashPolicy"
FIELDS: dict[str, tuple[str, ...]] = {
    _PACKAGE: ("header", "cookie", "connection_properties", "query_parameter", "filter_state", "terminal"),
    f"{_PACKAGE}.Header": ("header_name", "regex_rewrite"),
    f"{_PACKAGE}.Cookie": ("name", "ttl", "path", "attributes"),
    f"{_PACKAGE}.CookieAttribute": ("name", "value"),
    f"{_PACKAGE}.ConnectionProperties": ("source_ip",),
    f"{_PACKAGE}.QueryParameter": ("name",),
    f"{_PACKAGE}.FilterState": ("key",),
}


def compile_hash_policies(messages: Any, context: Context) -> tuple[HashPolicy, ...]:
    """A list of `HashPolicy`, for which `context` stands. Those that hash nothing, which is reported, are left out."""
    found = (_policy(message, context.at(index)) for index, message in enumerate(messages))
    return tuple(policy for policy in found if policy is not None)


def _policy(message: Any, context: Context) -> HashPolicy | None:
    match message.WhichOneof("policy_specifier"):
        case "header":
            return _header(message.header, message.terminal, context.at("header"))
        case "cookie":
            return _cookie(message.cookie, message.terminal, context.at("cookie"))
        case "query_parameter":
            return HashPolicy("query_parameter", message.query_parameter.name, message.terminal)
        case "filter_state":
            return HashPolicy("filter_state", message.filter_state.key, message.terminal)
    if not message.connection_properties.source_ip:
        context.error(("connection_properties",), "this hashes nothing", "source_ip: true")
        return None
    return HashPolicy("source_ip", terminal=message.terminal)


def _header(message: Any, terminal: bool, context: Context) -> HashPolicy:
    pattern = substitution = ""
    if message.HasField("regex_rewrite"):
        pattern, substitution = rewrites.substitution(message.regex_rewrite, context.at("regex_rewrite"))
    name = rewrites.header_name(message.header_name, context, "header_name", pseudo=True)
    return HashPolicy("header", name, terminal, pattern, substitution)


def _cookie(message: Any, terminal: bool, context: Context) -> HashPolicy:
    """Without a `ttl` no cookie is made. Of a `ttl` whole seconds count, as in Envoy."""
    for field, value in (("name", message.name), ("path", message.path)):
        if not IN_A_COOKIE.fullmatch(value):
            context.error((field,), f"{value!r} cannot stand in a cookie", "text without ; and control characters")
    if message.HasField("ttl"):
        maker = CookieMaker(
            int(context.duration(message.ttl, "ttl")),
            message.path,
            tuple((attribute.name, attribute.value) for attribute in message.attributes),
        )
        return HashPolicy("cookie", message.name, terminal, cookie=maker)
    for field in ("path", "attributes"):
        if getattr(message, field):
            context.error((field,), "has no effect where no cookie is made", "ttl")
    return HashPolicy("cookie", message.name, terminal)
