"""The router (`extensions.filters.http.router.v3.Router`): the terminal filter that forwards to a cluster."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext

FIELDS: dict[str, tuple[str, ...]] = {"envoy.extensions.filters.http.router.v3.Router": ()}


class Config(msgspec.Struct, frozen=True, gc=False):
    """Nothing to set yet."""


class Router:
    terminal = True

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        return Config()
