"""What filters leave at an exchange for each other, for routes and for logs: dynamic metadata and filter state.

Dynamic metadata is one struct of JSON values for each namespace, by custom the name of a filter. Values are shared,
with the configuration for one: nobody edits them in place, a change is a new struct.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from proxy.config.common import SocketAddress
from proxy.errors import ProxyError
from proxy.limits import MAX_STREAM_DATA

Struct = Mapping[str, Any]
"""`google.protobuf.Struct`: str → None, bool, int, float, str, list or dict of these."""

Metadata = dict[str, Struct]
"""By namespace."""


class HashableText(bytes):
    """A text that a hash policy may look at (`envoy.hashable_string`)."""


class Described(NamedTuple):
    """An object of the filter state that has a text and a message."""

    text: bytes
    message: Struct


StateObject = bytes | SocketAddress | Described
"""An object of the filter state: text, an IP address (`envoy.network.ip`), or what a filter tells of its work."""

_SCALAR_BYTES = 8


class Absent(enum.Enum):
    """There is no such value; None is one, JSON's null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def lookup(metadata: Mapping[str, Struct] | None, namespace: str, path: Sequence[str]) -> Any:
    """The value at `path` in a namespace, the whole struct for an empty path; `ABSENT` if there is none. Lists have no
    keys (`Config::Metadata::metadataValue`).
    """
    value: Any = ABSENT if metadata is None else metadata.get(namespace, ABSENT)
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return ABSENT
        value = value[key]
    return value


def merged(old: Struct, new: Struct) -> Struct:
    """`old` with `new` over it: structs are merged, lists appended, of anything else the new one counts
    (`StructUtil::update`).
    """
    result = dict(old)
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[key] = merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            result[key] = before + value
        else:
            result[key] = value
    return result


def text(state: StateObject) -> bytes:
    """An object of the filter state as logs and matchers see it (`serializeAsString`)."""
    if isinstance(state, Described):
        return state.text
    return state if isinstance(state, bytes) else str(state).encode()


def size(value: Any) -> int:
    """About how many bytes `value` takes. Raises `TypeError` unless it is made of JSON's types."""
    if value is None or isinstance(value, int | float):
        return _SCALAR_BYTES
    if isinstance(value, str):
        return _SCALAR_BYTES + len(value)
    if isinstance(value, list):
        return _SCALAR_BYTES + sum(map(size, value))
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return _SCALAR_BYTES + sum(len(key) + size(part) for key, part in value.items())
    raise TypeError(f"{value!r:.80} is no JSON value: metadata holds None, bool, int, float, str, list and dict")


def within_bounds(written: int) -> int:
    """`written`: bytes that filters have left at an exchange so far. Raises `ProxyError` (500) if they are too many."""
    if written > MAX_STREAM_DATA:
        raise ProxyError("stream_data_too_large", side="internal", status=500)
    return written
