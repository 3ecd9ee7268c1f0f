"""What filters have left at the exchange: `%DYNAMIC_METADATA(namespace:key:…)%`, `%FILTER_STATE(key:PLAIN|TYPED)%`."""

from __future__ import annotations

from proxy.access_log.operator import Build, FormatError, Getter, Structured, Value, constant, required
from proxy.http import stream_data
from proxy.http.stream_data import ABSENT
from proxy.http.stream_info import StreamInfo

_PATH = "NAMESPACE, or NAMESPACE:KEY with as many keys as there are structs on the way"


def _dynamic_metadata(parameter: str | None) -> Getter:
    namespace, *path = required(parameter, _PATH).split(":")

    def get(info: StreamInfo) -> Value:
        found = stream_data.lookup(info.dynamic_metadata, namespace, path)
        return None if found is ABSENT or found is None else Structured(found)

    return get


def _metadata(parameter: str | None) -> Getter:
    """`%METADATA(TYPE:namespace:key…)%`."""
    kind, _, rest = required(parameter, f"DYNAMIC:{_PATH}").partition(":")
    if kind == "DYNAMIC":
        return _dynamic_metadata(rest or None)
    raise FormatError(f"metadata of type {kind!r} is not supported", "DYNAMIC")


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
