"""What happened to a request between two moments, and why."""

from __future__ import annotations

from collections.abc import Callable

from master.explain.request.answer import Change, Head
from master.explain.request.paths import Paths
from master.explain.request.place import DEFAULT, Place, Places
from proxy.filters.network.hcm_config import Config
from proxy.http import hop_by_hop
from proxy.http.headers import Headers
from proxy.http.identity import CLIENT_CERT, EXTERNAL_ADDRESS, INTERNAL, REQUEST_ID, VIA, XFF, XFP, XFPORT
from proxy.http.request import Request

Explain = Callable[[str, Request], tuple[str, Place]]
"""Why a part of the request was changed, and the place that says so."""


def head(request: Request) -> Head:
    return Head(
        _text(request.method), _text(request.authority), _text(request.path), tuple(map(_pair, request.headers))
    )


def _pair(pair: tuple[bytes, bytes]) -> tuple[str, str]:
    return _text(pair[0]), _text(pair[1])


def changes(before: Request, after: Request, explain: Explain | None = None) -> tuple[Change, ...]:
    """Of path, host and headers, in this order."""
    found: list[tuple[str, str | None, str | None]] = [
        ("path", _text(before.path), _text(after.path)),
        ("host", _text(before.authority), _text(after.authority)),
    ]
    names = dict.fromkeys(name for name, _ in (*before.headers, *after.headers))
    found += [(f"header {_text(name)}", _values(before.headers, name), _values(after.headers, name)) for name in names]
    return tuple(
        Change(part, old, new, *(explain(part.removeprefix("header "), before) if explain is not None else ()))
        for part, old, new in found
        if old != new
    )


def _values(headers: Headers, name: bytes) -> str | None:
    values = headers.get_all(name)
    return ", ".join(map(_text, values)) if values else None


def of_admission(config: Config, places: Places, paths: Paths) -> Explain:
    """For what a connection manager of `config` does before routing."""
    manager = paths.manager

    def first(*fields: str) -> Place:
        return places.first(*((*manager, field) for field in fields))

    written = {
        XFF: ("who the peer is", ("use_remote_address", "skip_xff_append", "original_ip_detection_extensions")),
        XFP: ("how it came", ("scheme_header_transformation",)),
        XFPORT: ("the port that it came to", ("append_x_forwarded_port",)),
        VIA: ("we stand in between", ("via",)),
        EXTERNAL_ADDRESS: ("who the caller is", ("use_remote_address",)),
        REQUEST_ID: ("an id for logs and traces", ("generate_request_id", "preserve_external_request_id")),
        CLIENT_CERT: ("it claims a certificate", ("forward_client_cert_details",)),
    }

    def explain(part: str, before: Request) -> tuple[str, Place]:
        name = part.encode("latin-1")
        if part == "path":
            return "made canonical", first("path_with_escaped_slashes_action", "normalize_path", "merge_slashes")
        if part == "host":
            return "trimmed", first("strip_any_host_port", "strip_matching_host_port", "strip_trailing_host_dot")
        if name in written:
            why, fields = written[name]
            return why, first(*fields)
        if name == INTERNAL:
            return "whether the caller is inside", first("internal_address_config")
        if b"_" in name:
            options = (*manager, "common_http_protocol_options", "headers_with_underscores_action")
            return "its name has an underscore", places.of(*options)
        if part in config.identity.internal_only_headers:
            return "only callers from inside may say it", places.of(*paths.routes, "internal_only_headers")
        if name in hop_by_hop.STRIPPED or _is_named_by_connection(name, before):
            return "it concerns one connection alone", DEFAULT
        if name.startswith(b"x-envoy-"):
            return "only callers from inside may say it", first("internal_address_config")
        return "", DEFAULT

    return explain


def _is_named_by_connection(name: bytes, before: Request) -> bool:
    named = (before.headers.joined(b"connection") or b"").lower()
    return name in [part.strip() for part in named.split(b",")]


def _text(value: bytes) -> str:
    return value.decode("latin-1")
