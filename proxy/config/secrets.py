"""What is in secrets, in the TLS contexts that ask for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster
from proxy.config.tls import Certificate, DownstreamTls, Secret, TicketKeys, UpstreamTls, Validation

Tls = DownstreamTls | UpstreamTls


def with_secrets(config: CompiledConfig, secrets: tuple[Secret, ...]) -> CompiledConfig:
    """`config` with these secrets in the place of its own, which are the same ones as they are now."""
    by_key = {secret.key: secret for secret in secrets}
    return msgspec.structs.replace(
        config,
        listeners=_renewed(config.listeners, by_key),
        clusters=_renewed(config.clusters, by_key),
        secrets=secrets,
    )


def contexts(value: Any) -> Iterator[Tls]:
    """The TLS contexts in `value`: listeners, clusters or parts of them, in order."""
    if isinstance(value, DownstreamTls | UpstreamTls):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from contexts(item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from contexts(getattr(value, name))


def tls_in_place(before: Tls | None, now: Tls | None) -> bool:
    """Whether those who have shaken hands may stay: we have another certificate, or a secret says anew whom we trust
    (as in Envoy). Who came by other terms leaves with them.
    """
    if before is None or now is None or type(before) is not type(now):
        return before is now
    ours: dict[str, object] = {"certificates": now.certificates}
    if isinstance(now, DownstreamTls):
        ours["ticket_keys"] = now.ticket_keys
    if (before.secrets.validation, before.secrets.default) == (now.secrets.validation, now.secrets.default):
        ours["secrets"] = now.secrets
        if now.secrets.validation:
            ours["validation"] = now.validation
    return msgspec.structs.replace(before, **ours) == now


def cluster_in_place(before: Cluster, now: Cluster) -> bool:
    """Whether nothing but its TLS differs, and that in place."""
    if _without_tls(before) != _without_tls(now):
        return False
    old, new = ([*(match.tls for match in cluster.socket_matches), cluster.tls] for cluster in (before, now))
    return all(map(tls_in_place, old, new))


def _without_tls(cluster: Cluster) -> Cluster:
    matches = tuple(msgspec.structs.replace(match, tls=None) for match in cluster.socket_matches)
    return msgspec.structs.replace(cluster, tls=None, socket_matches=matches)


def combine(default: Validation, found: Validation) -> Validation:
    """A `combined_validation_context`: `found`, from a secret, merged over `default` as protobuf merges messages. What
    is said is said again or kept, lists grow.
    """
    values: dict[str, Any] = {}
    for name in Validation.__struct_fields__:
        before, now = getattr(default, name), getattr(found, name)
        if isinstance(before, tuple):
            values[name] = before + now
        else:
            values[name] = now if now or before is None else before
    values["path"] = found.path if found.trusted_ca else default.path
    return Validation(**values)


def _renewed(value: Any, secrets: Mapping[str, Secret]) -> Any:
    """`value` with new TLS contexts wherever there are some in it; what has none is the same object."""
    if isinstance(value, DownstreamTls | UpstreamTls):
        return _context(value, secrets)
    if isinstance(value, tuple):
        items = tuple(_renewed(item, secrets) for item in value)
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {name: new for name, old in fields.items() if (new := _renewed(old, secrets)) is not old}
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


def _context(tls: Tls, secrets: Mapping[str, Secret]) -> Tls:
    keys, changed = tls.secrets, {}
    if keys.certificates:
        pairs = zip(keys.certificates, tls.certificates, strict=True)
        changed["certificates"] = tuple(_value(secrets, key, pair, Certificate) for key, pair in pairs)
    if keys.validation:
        found = _value(secrets, keys.validation, tls.validation, Validation)
        if keys.default is not None and keys.validation in secrets:
            found = combine(keys.default, found)
        changed["validation"] = found
    if keys.ticket_keys and isinstance(tls, DownstreamTls):
        changed["ticket_keys"] = _value(secrets, keys.ticket_keys, tls.ticket_keys, TicketKeys)
    return msgspec.structs.replace(tls, **changed) if changed else tls


def _value(secrets: Mapping[str, Secret], key: str, present: Any, kind: type) -> Any:
    """What the secret of this key holds; `present` if there is none, or it has become something else."""
    secret = secrets.get(key)
    return secret.value if secret is not None and isinstance(secret.value, kind) else present
