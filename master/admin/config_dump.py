"""The dumps of `/config_dump`, made from the bootstrap's JSON: who holds which resource, and what may be seen of it."""

from __future__ import annotations

import base64
import datetime
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from udpa.annotations import sensitive_pb2

from master.config import any_types
from proxy.config.tls import Secret

REDACTED = "[redacted]"
_BLANK_BYTES = base64.b64encode(REDACTED.encode()).decode()
_ADMIN = "type.googleapis.com/envoy.admin.v3."
_CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

KINDS = ("Bootstrap", "Clusters", "Endpoints", "Listeners", "ScopedRoutes", "Routes", "Secrets")
"""The messages `<kind>ConfigDump`, in Envoy's order."""


def dumps(
    bootstrap: dict[str, Any], updated: str, keep: Callable[[str], bool], secrets: Sequence[Secret] = ()
) -> list[dict[str, Any]]:
    """The config dumps in Envoy's order. `updated` is RFC 3339; `keep` decides by resource name; `secrets` are those
    from files.
    """
    resources = bootstrap.get("static_resources", {})
    listeners = resources.get("listeners", [])
    return [
        {"@type": f"{_ADMIN}BootstrapConfigDump", "bootstrap": bootstrap, "last_updated": updated},
        _dump("Clusters", "static_clusters", "cluster", _CLUSTER, resources.get("clusters", []), updated, keep),
        _dump("Listeners", "static_listeners", "listener", _LISTENER, listeners, updated, keep),
        {"@type": f"{_ADMIN}ScopedRoutesConfigDump"},
        _dump("Routes", "static_route_configs", "route_config", _ROUTES, _route_configs(listeners), updated, keep),
        _secrets_dump(resources.get("secrets", []), secrets, keep),
    ]


def _secrets_dump(static: list[Any], secrets: Sequence[Secret], keep: Callable[[str], bool]) -> dict[str, Any]:
    """Secrets of the bootstrap have no time: they never change."""
    of_bootstrap = [
        {"name": secret.get("name", ""), "secret": {"@type": _SECRET, **secret}}
        for secret in static
        if keep(secret.get("name", ""))
    ]
    of_files = [
        {
            "name": secret.name,
            **({"version_info": secret.version} if secret.version else {}),
            "last_updated": timestamp(secret.updated),
            "secret": redact({"@type": _SECRET, **json.loads(secret.source)}, None),
        }
        for secret in secrets
        if keep(secret.name)
    ]
    dump: dict[str, Any] = {"@type": f"{_ADMIN}SecretsConfigDump"}
    if of_bootstrap:
        dump["static_secrets"] = of_bootstrap
    if of_files:
        dump["dynamic_active_secrets"] = of_files
    return dump


def timestamp(seconds: float) -> str:
    """`time.time()` as RFC 3339."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(
    kind: str, field: str, element: str, url: str, found: Any, updated: str, keep: Callable[[str], bool]
) -> dict[str, Any]:
    kept = [
        {element: {"@type": url, **resource}, "last_updated": updated}
        for resource in found
        if keep(resource.get("name", ""))
    ]
    return {"@type": f"{_ADMIN}{kind}ConfigDump", **({field: kept} if kept else {})}


def _route_configs(value: Any) -> Iterator[dict[str, Any]]:
    """The inline route configurations of all HTTP connection managers below `value`, in order."""
    if isinstance(value, dict):
        if value.get("@type") == _MANAGER and "route_config" in value:
            yield value["route_config"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _route_configs(inner)


def field_of_dump(name: str) -> FieldDescriptor | None:
    """The field `name` (`static_clusters`) of whichever config dump has it."""
    for kind in KINDS:
        message = type_of(f"{_ADMIN}{kind}ConfigDump")
        if message is not None and name in message.fields_by_name:
            return message.fields_by_name[name]
    return None


def redact(value: Any, message: Descriptor | None, *, sensitive: bool = False) -> Any:
    """`value`, JSON of `message`, with every field blanked that its proto marks `udpa.annotations.sensitive`.

    What is below a sensitive field is sensitive. An `Any` whose type is not known is blanked altogether.
    """
    if isinstance(value, list):
        return [redact(item, message, sensitive=sensitive) for item in value]
    if not isinstance(value, dict):
        return REDACTED if sensitive and isinstance(value, str) else value
    if "@type" in value:
        message = type_of(value["@type"])
        sensitive = sensitive or message is None
        if message is not None and message.full_name in any_types.TYPED_STRUCTS:
            packed = type_of(value.get("type_url", ""))
            return {**value, "value": redact(value.get("value"), packed, sensitive=sensitive or packed is None)}
    return {name: _redact_field(name, inner, message, sensitive) for name, inner in value.items()}


def _redact_field(name: str, value: Any, message: Descriptor | None, sensitive: bool) -> Any:
    if name == "@type":
        return value
    field = _field(message, name) if message else None
    if field is None:  # a value inside a Struct
        return redact(value, None, sensitive=sensitive)
    sensitive = sensitive or field.sensitive
    if sensitive and field.bytes_:
        return _BLANK_BYTES
    if field.map_:
        return {key: redact(item, field.message, sensitive=sensitive) for key, item in value.items()}
    return redact(value, field.message, sensitive=sensitive)


class _Field(NamedTuple):
    """What redaction asks of a field. `message` is the type of its value, or of a map's values."""

    sensitive: bool
    bytes_: bool
    map_: bool
    message: Descriptor | None


@functools.lru_cache(maxsize=4096)
def _field(message: Descriptor, name: str) -> _Field | None:
    """Cached: a configuration has few kinds of fields and many of each, and descriptors are slow to ask."""
    field = message.fields_by_name.get(name)
    if field is None:
        return None
    sensitive = bool(field.GetOptions().Extensions[sensitive_pb2.sensitive])
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return _Field(sensitive, False, True, inner.fields_by_name["value"].message_type)
    return _Field(sensitive, field.type == FieldDescriptor.TYPE_BYTES, False, inner)


def type_of(type_url: str) -> Descriptor | None:
    """The message type that `@type` names; None if there is none."""
    name = any_types.split_url(type_url)
    found = any_types.find(name) if name else None
    return found.DESCRIPTOR if found else None
