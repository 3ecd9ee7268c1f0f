"""What an upstream gets of a request's head that the express lane has planned for: its values are filled in."""

from __future__ import annotations

from proxy.http import express_varying
from proxy.http.h2_heads import Pair
from proxy.http.headers import Headers


class Upstreamed:
    """A head as an upstream gets it, less its method and path, which each version of HTTP writes in its own way.
    `headers` are its fields, with marks for what varies; `authority` is what became of the request's.

    Values come in the order of the arrival's, then the request's id (empty if there is none of ours), then the path as
    it was.
    """

    __slots__ = ("_headers", "_marked", "authority")

    def __init__(self, headers: Headers, authority: bytes) -> None:
        self.authority = authority
        self._headers = headers
        self._marked = express_varying.templates(headers.items)

    def fields(self, values: tuple[bytes, ...]) -> Headers:
        """The fields of one request."""
        headers = self._headers.copy()
        self.fill(headers, values)
        return headers

    def fill(self, headers: Headers, values: tuple[bytes, ...]) -> None:
        """Make `headers`, which are the fields of another request, those of one with these values."""
        for at, name, value, order in self._marked:
            headers.items[at] = (name, value % tuple([values[number] for number in order]))

    @property
    def varying(self) -> tuple[int, ...]:
        """Which of the fields have values that vary."""
        return tuple(at for at, *_ in self._marked)


class WrittenHead(Upstreamed):
    """As HTTP/1 has it; `rest` is what follows the path."""

    __slots__ = ("_order", "_rest")

    def __init__(self, rest: bytes, headers: Headers, authority: bytes) -> None:
        super().__init__(headers, authority)
        self._rest, self._order = express_varying.template(rest)

    def render(self, method: bytes, path: bytes, values: tuple[bytes, ...]) -> bytes:
        """The head of one request."""
        return b"%b %b%b" % (method, path, self._rest % tuple([values[number] for number in self._order]))


class ListedHead(Upstreamed):
    """As HTTP/2 has it: the header list of a request, whose path stands at its place."""

    __slots__ = ("_fields", "_path_at", "_varying_fields")

    def __init__(self, fields: list[Pair], headers: Headers, authority: bytes) -> None:
        super().__init__(headers, authority)
        self._fields = fields
        self._path_at = next(at for at, (name, _) in enumerate(fields) if name == b":path")
        self._varying_fields = express_varying.templates(fields)

    def render(self, path: bytes, values: tuple[bytes, ...]) -> list[Pair]:
        """The header list of one request; not to be changed."""
        fields = self._fields.copy()
        fields[self._path_at] = (b":path", path)
        for at, name, value, order in self._varying_fields:
            fields[at] = (name, value % tuple([values[number] for number in order]))
        return fields
