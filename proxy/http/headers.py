"""Header blocks: an ordered multi-map of lower-case byte names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

KeyFormat = Callable[[bytes], bytes]
"""A lower-case name → how it is written on the wire."""


class Headers:
    """Ordered (name, value) pairs. Names are lower-case bytes; several lines of one name stay several lines.

    `items` is the list itself, for code on the hot path that only reads. `key_format` and `reason` are how their sender
    wrote the names, and a response's reason phrase, where somebody wants to know (`header_case`).
    """

    __slots__ = ("items", "key_format", "reason")

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.items: list[tuple[bytes, bytes]] = list(items)
        self.key_format: KeyFormat | None = None
        self.reason = b""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, name: bytes) -> bool:
        return self.get(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.items == other.items

    def __repr__(self) -> str:
        return f"Headers({self.items!r})"

    def get(self, name: bytes) -> bytes | None:
        """The first value of `name`, or None."""
        for key, value in self.items:
            if key == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of `name`, in order."""
        return [value for key, value in self.items if key == name]

    def joined(self, name: bytes) -> bytes | None:
        """All values of `name` joined by a comma without space, as Envoy's header map shows them; None if absent."""
        values = self.get_all(name)
        return b",".join(values) if values else None

    def add(self, name: bytes, value: bytes) -> None:
        """Append a line."""
        self.items.append((name, value))

    def set(self, name: bytes, value: bytes) -> None:
        """Overwrite in place: the first line of `name` gets `value`, further ones go; appended if there was none."""
        found = False
        items: list[tuple[bytes, bytes]] = []
        for pair in self.items:
            if pair[0] != name:
                items.append(pair)
            elif not found:
                found = True
                items.append((name, value))
        if not found:
            items.append((name, value))
        self.items = items

    def remove(self, name: bytes) -> bool:
        """Drop every line of `name`; says whether there was one."""
        kept = [pair for pair in self.items if pair[0] != name]
        changed = len(kept) != len(self.items)
        self.items = kept
        return changed

    def copy(self) -> Headers:
        other = Headers(self.items)
        other.key_format, other.reason = self.key_format, self.reason
        return other
