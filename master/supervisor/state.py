"""The supervisor's state as it crosses an exec: versioned JSON in a sealed memfd, and the descriptors that it names.

A descriptor is an `Fd`, in JSON `{"fd": 7}`, so that exactly the listed ones are made inheritable. Within a version
keys may be added: a reader passes over what it does not know and has a default for what it misses. Whatever would
change the meaning of a key needs a new version; both sides of an exec then agree on the highest that both read
(`common`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

READABLE = (1,)  # versions that this program reads and writes
MAX_STATE = 16 * 1024 * 1024


class StateError(Exception):
    """A state that cannot be taken over; the text says why."""


class Fd(int):
    """A file descriptor that goes along."""


def common(theirs: Iterable[int]) -> int:
    """The version to write for a program that reads `theirs`; raises `StateError` if there is none."""
    versions = sorted(theirs)
    both = set(READABLE) & set(versions)
    if not both:
        raise StateError(
            f"one side of the restart knows versions {versions or 'none'} of the supervisor's state, the other "
            f"{list(READABLE)}: there is no hot restart between these releases; stop and start"
        )
    return max(both)


def encode(state: dict[str, Any], version: int) -> bytes:
    """`state` (dicts with text keys, lists, texts, numbers, `Fd`) in `version`."""
    if version not in READABLE:
        raise StateError(f"version {version} of the supervisor's state is not known here")
    return json.dumps({"version": version, **_plain(state)}, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Any]:
    """The inverse of `encode`; raises `StateError`."""
    try:
        state = json.loads(data, object_hook=_hook)
    except ValueError as error:
        raise StateError(f"the supervisor's state is not JSON: {error}") from error
    if not isinstance(state, dict) or state.get("version") not in READABLE:
        version = state.get("version") if isinstance(state, dict) else None
        raise StateError(f"version {version} of the supervisor's state is not known here")
    return state


def descriptors(state: Any) -> Iterator[int]:
    """Every descriptor in `state`."""
    if isinstance(state, Fd):
        yield int(state)
    elif isinstance(state, dict):
        for value in state.values():
            yield from descriptors(value)
    elif isinstance(state, list):
        for value in state:
            yield from descriptors(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Fd):
        return {"fd": int(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _hook(value: dict[str, Any]) -> Any:
    if value.keys() == {"fd"} and isinstance(value["fd"], int):
        return Fd(value["fd"])
    return value
