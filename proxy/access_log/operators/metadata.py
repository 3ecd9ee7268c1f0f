"""What filters have left at the exchange: `%DYNAMIC_METADATA(namespace:key:…)%`, `%FILTER_STATE(key:PLAIN|TYPED)%`; and
what stands at its route: `%METADATA(ROUTE:namespace:key:…)%`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.access_log.operator import Build, FormatError, Getter, Structured, Value, constant, required
from proxy.http import stream_data
from proxy.http.stream_data import ABSENT
from proxy.http.stream_info import StreamInfo

_PATH = "NAMESPACE, or NAMESPACE:KEY with as many keys as there are structs on the way"


def _dynamic_metadata(parameter: str | None) -> Getter:
    return _of(_OF["DYNAMIC"], required(parameter, _PATH))


def _metadata(parameter: str | None) -> Getter:
    """`%METADATA(TYPE:namespace:key…)%`."""
    kind, _, path = required(parameter, f"TYPE:{_PATH}").partition(":")
    if kind not in _OF:
        raise FormatError(f"metadata of type {kind!r} is not supported", f"one of {', '.join(_OF)}")
    return _of(_OF[kind], path)


_OF: dict[str, Callable[[StreamInfo], Mapping[str, stream_data.Struct] | None]] = {
    "DYNAMIC": lambda info: info.dynamic_metadata,
    "ROUTE": lambda info: None if info.entry is None else info.entry.route.metadata,
    "VIRTUAL_HOST": lambda info: None if info.entry is None else info.entry.virtual_host.metadata,
}


def _of(metadata: Callable[[StreamInfo], Mapping[str, stream_data.Struct] | None], where: str) -> Getter:
    namespace, *path = where.split(":")

    def get(info: StreamInfo) -> Value:
        found = stream_data.lookup(metadata(info), namespace, path)
        return None if found is ABSENT or found is None else Structured(found)

    return get


def _filter_state(parameter: str | None) -> Getter:
    """As text (PLAIN) or as the JSON of its message (TYPED, the default), which an address has none of. No object of
    ours has fields.
    """
    expected = "KEY, KEY:PLAIN, KEY:TYPED or KEY:FIELD:NAME"
    key, *how = required(parameter, expected).split(":")
    if not key:
        raise FormatError("the object has no key", expected)

    def plain(info: StreamInfo) -> Value:
        found = None if info.filter_state is None else info.filter_state.get(key)
        return None if found is None else stream_data.text(found)

    def typed(info: StreamInfo) -> Value:
        found = None if info.filter_state is None else info.filter_state.get(key)
        if isinstance(found, stream_data.Described):
            return Structured(found.message)
        return Structured(found.decode(errors="replace"), quoted=True) if isinstance(found, bytes) else None

    match how:
        case [] | [""] | ["TYPED"]:
            return typed
        case ["PLAIN"]:
            return plain
        case ["FIELD", name] if name:
            return constant(None)
    raise FormatError(f"{':'.join(how)!r} is no way to write an object", expected)


def _upstream_filter_state(parameter: str | None) -> Getter:
    """No filter sets any for an upstream request."""
    _filter_state(parameter)
    return constant(None)


OPERATORS: dict[str, Build] = {
    "DYNAMIC_METADATA": _dynamic_metadata,
    "FILTER_STATE": _filter_state,
    "METADATA": _metadata,
    "UPSTREAM_FILTER_STATE": _upstream_filter_state,
}
