"""Redirects that the proxy follows itself: `config.route.v3.InternalRedirectPolicy` and its predicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config import any_types
from master.config.compile import rewrites
from master.config.walk import unpack
from proxy.config.internal_redirect import InternalRedirectPolicy
from proxy.http.hop_by_hop import HOP_BY_HOP

if TYPE_CHECKING:
    from master.config.compile.context import Context

PACKAGE = "envoy.extensions.internal_redirect"
ALLOW_LISTED = f"{PACKAGE}.allow_listed_routes.v3.AllowListedRoutesConfig"
PREVIOUS = f"{PACKAGE}.previous_routes.v3.PreviousRoutesConfig"
SAFE_CROSS_SCHEME = f"{PACKAGE}.safe_cross_scheme.v3.SafeCrossSchemeConfig"
PREDICATES = (ALLOW_LISTED, PREVIOUS, SAFE_CROSS_SCHEME)

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteAction": (
        "internal_redirect_policy",
        "internal_redirect_action=HANDLE_INTERNAL_REDIRECT",
        "internal_redirect_action=PASS_THROUGH_INTERNAL_REDIRECT",
        "max_internal_redirects",
    ),
    "envoy.config.route.v3.InternalRedirectPolicy": (
        "max_internal_redirects",
        "redirect_response_codes",
        "predicates",
        "allow_cross_scheme_redirect",
        "response_headers_to_copy",
    ),
    ALLOW_LISTED: ("allowed_route_names",),
    PREVIOUS: (),
    SAFE_CROSS_SCHEME: (),
}

_FRAMING = frozenset({*(name.decode() for name in HOP_BY_HOP), "content-length", "host"})

CODES = frozenset({301, 302, 303, 307, 308})
HANDLE = 1
"""`RouteAction.InternalRedirectAction.HANDLE_INTERNAL_REDIRECT`."""


def compile_internal_redirect(message: Any, context: Context) -> InternalRedirectPolicy | None:
    """What the `RouteAction` says of redirects; its deprecated fields count where it has no policy."""
    if message.HasField("internal_redirect_policy"):
        return _policy(message.internal_redirect_policy, context.at("internal_redirect_policy"))
    if message.internal_redirect_action != HANDLE:
        return None
    return InternalRedirectPolicy(max_redirects=_at_most(message))


def _at_most(message: Any) -> int:
    return message.max_internal_redirects.value if message.HasField("max_internal_redirects") else 1


def _policy(message: Any, context: Context) -> InternalRedirectPolicy:
    for index, code in enumerate(message.redirect_response_codes):
        if code not in CODES:
            context.error(
                ("redirect_response_codes", index),
                f"{code} is no redirect that can be followed",
                f"one of {', '.join(map(str, sorted(CODES)))}",
            )
    found: dict[str, Any] = {}
    for index, extension in enumerate(message.predicates):
        here = context.at("predicates", index, "typed_config")
        predicate = unpack(extension.typed_config)
        name = any_types.split_url(extension.typed_config.type_url) or ""
        if name in PREDICATES:
            found[name] = predicate
        elif predicate is not None and here.path not in context.unsupported:
            here.error((), f"no predicate of redirects has the type {name}", f"one of {', '.join(PREDICATES)}")
    return InternalRedirectPolicy(
        max_redirects=_at_most(message),
        statuses=frozenset(message.redirect_response_codes) or frozenset({302}),
        cross_scheme=message.allow_cross_scheme_redirect,
        copied_headers=tuple(
            _copied(name, context, "response_headers_to_copy", index)
            for index, name in enumerate(message.response_headers_to_copy)
        ),
        allowed_routes=frozenset(found[ALLOW_LISTED].allowed_route_names) if ALLOW_LISTED in found else None,
        previous_routes=PREVIOUS in found,
        safe_cross_scheme=SAFE_CROSS_SCHEME in found,
    )


def _copied(name: str, context: Context, *path: str | int) -> str:
    """A response must not say where a request ends."""
    if name.lower() in _FRAMING:
        context.error(path, f"{name} of a response says nothing about a request", "another header")
    return rewrites.header_name(name, context, *path)
