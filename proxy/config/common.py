"""Shapes shared by several compiled resources: addresses, string matchers, plug-in references."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class SocketAddress(msgspec.Struct, frozen=True, gc=False, tag="socket"):
    """`config.core.v3.SocketAddress` after resolution: `host` is a numeric IPv4 or IPv6 address."""

    host: str
    port: int

    def __str__(self) -> str:
        """Envoy's spelling: `127.0.0.1:80`, `[::1]:80`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PipeAddress(msgspec.Struct, frozen=True, gc=False, tag="pipe"):
    """`config.core.v3.Pipe`: a Unix socket. A leading `@` means the abstract namespace. `mode` 0 keeps the umask's."""

    path: str
    mode: int = 0

    def __str__(self) -> str:
        return self.path


Address = SocketAddress | PipeAddress

Metadata = dict[str, dict[str, Any]]
"""`config.core.v3.Metadata`: by namespace a struct of JSON values."""


class StringMatcher(msgspec.Struct, frozen=True, gc=False):
    """`type.matcher.v3.StringMatcher`. `regex` is RE2, matches the whole value, and ignores `ignore_case`."""

    kind: Literal["exact", "prefix", "suffix", "contains", "regex"]
    value: str
    ignore_case: bool = False


class HeaderMatcher(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.HeaderMatcher`. `name` is lower case.

    Exactly one of `string`, `present`, `range` is set; all `None` means "the header is present" (Envoy's default).
    `range` is [start, end) of a decimal integer. `invert` negates the verdict about a header that is there; a missing
    one matches nothing, inverted or not (as in Envoy 1.40), unless `present` is what is asked, or
    `treat_missing_as_empty` gives the matcher an empty string to look at.
    """

    name: str
    string: StringMatcher | None = None
    present: bool | None = None
    range: tuple[int, int] | None = None
    invert: bool = False
    treat_missing_as_empty: bool = False


class PluginConfig(msgspec.Struct, frozen=True):
    """One configured extension: which class to run (by type URL) and that class's own encoded `Config`.

    `name` is the instance's name in the configuration (key of per-route overrides). `type_url` is the protobuf
    message's full name without `type.googleapis.com/`. `config` is MessagePack of the plug-in's `Config` struct.
    """

    name: str
    type_url: str
    config: msgspec.Raw
