"""The PROXY protocol towards upstreams (`config.core.v3.ProxyProtocolConfig`)."""

from __future__ import annotations

from typing import Any, Literal

FIELDS: dict[str, tuple[str, ...]] = {"envoy.config.core.v3.ProxyProtocolConfig": ("version",)}

_VERSIONS: dict[int, Literal["V1", "V2"]] = {0: "V1", 1: "V2"}


def version_of(message: Any) -> Literal["V1", "V2"]:
    """Of a `ProxyProtocolConfig`."""
    return _VERSIONS[message.version]
