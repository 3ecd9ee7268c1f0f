"""The HTTP connection manager: the terminal network filter that speaks HTTP to the downstream connection."""

from __future__ import annotations

from proxy.filters.network import hcm_config


class HttpConnectionManager:
    Config = hcm_config.Config
    from_proto = staticmethod(hcm_config.from_proto)
    terminal = True
