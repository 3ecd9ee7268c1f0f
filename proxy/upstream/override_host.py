"""A host that a filter wants for a request in place of the balancer's (Envoy's `HostUtility::selectOverrideHost`)."""

from __future__ import annotations

from typing import NamedTuple


class OverrideHost(NamedTuple):
    """`address` as in Envoy: `127.0.0.1:80`. `strict`: no other host will do."""

    address: str
    strict: bool = False
