"""Paths of `google.api.http`: templates with variables, and which of many a request's path is (`PathMatcher` of
grpc-httpjson-transcoding).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_LITERAL = re.compile(r"[^{}/:*=]+")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_RESERVED = frozenset(b"!#$&'()*+,/:;=?@[]")
KEPT = {
    "ALL_CHARACTERS_EXCEPT_RESERVED": _RESERVED,
    "ALL_CHARACTERS_EXCEPT_SLASH": frozenset(b"/"),
    "ALL_CHARACTERS": frozenset(),
}
"""`UrlUnescapeSpec` → what stays escaped in a variable of several segments."""

ANY, REST = "*", "**"


class TemplateError(ValueError):
    """No template."""


class Variable(NamedTuple):
    """Segments from `start` to `end`, which is counted from the last one if it is negative: -1 is all of them."""

    field: str
    start: int
    end: int

    def several(self) -> bool:
        """Whether it may have several segments."""
        return self.end < 0 or self.end - self.start > 1


class Template(NamedTuple):
    """Literals, `*` for one segment, `**` for all that are left; a verb is a segment of its own."""

    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str


def parse(text: str) -> Template:
    """Raises `TemplateError`."""
    if not text.startswith("/"):
        raise TemplateError(f"{text!r} does not begin with a slash")
    path, verb = text[1:], ""
    if (colon := path.rfind(":")) > max(path.rfind("/"), path.rfind("}") - 1):
        path, verb = path[:colon], path[colon + 1 :]
        if not _LITERAL.fullmatch(verb):
            raise TemplateError(f"{text!r} has no verb behind its colon")
    segments: list[str] = []
    variables: list[Variable] = []
    at = 0
    while True:
        if path[at : at + 1] == "{":
            end = path.find("}", at)
            name, _, pattern = path[at + 1 : end].partition("=")
            if end < 0 or not _FIELD.fullmatch(name) or name in {one.field for one in variables}:
                raise TemplateError(f"{text!r} has a variable that is none, or one of them twice")
            parts = pattern.split("/") if pattern else [ANY]
            variables.append(Variable(name, len(segments), len(segments) + len(parts)))
        else:
            end = path.find("/", at) - 1 if "/" in path[at:] else len(path) - 1
            parts = [path[at : end + 1]]
        segments += parts
        at = end + 1
        if at >= len(path):
            break
        if path[at] != "/":
            raise TemplateError(f"{text!r} has something between a variable and the next slash")
        at += 1
    _check(text, segments)
    if segments[-1] == REST:
        of_rest = -2 if verb else -1
        variables = [one._replace(end=of_rest) if one.end == len(segments) else one for one in variables]
    return Template((*segments, verb) if verb else tuple(segments), tuple(variables), verb)


def _check(text: str, segments: Sequence[str]) -> None:
    for segment in segments[:-1]:
        if segment == REST:
            raise TemplateError(f"{text!r} has something behind `**`")
    for segment in segments:
        if segment not in (ANY, REST) and not _LITERAL.fullmatch(segment):
            raise TemplateError(f"{segment!r} in {text!r} is no segment")


class Found(NamedTuple, Generic[T]):
    """What a path leads to, and the values of its variables, by their field."""

    data: T
    values: tuple[tuple[str, str], ...]


class _Node(Generic[T]):
    __slots__ = ("children", "ends")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.ends: dict[str, tuple[Template, T]] = {}


class PathMatcher(Generic[T]):
    """Templates by HTTP method; `*` is any method. Literals come before `*`, and that before `**`."""

    def __init__(self, unescape: str = "ALL_CHARACTERS_EXCEPT_RESERVED", *, any_verb: bool = False) -> None:
        self._root: _Node[T] = _Node()
        self._kept = KEPT[unescape]
        self._verbs: set[str] = set()
        self._any_verb = any_verb

    def add(self, method: str, template: Template, data: T) -> bool:
        """False if there is such a template already."""
        node = self._root
        for segment in template.segments:
            node = node.children.setdefault(segment, _Node())
        self._verbs.add(template.verb)
        return node.ends.setdefault(method, (template, data))[1] is data

    def find(self, method: str, path: str) -> Found[T] | None:
        """What `path`, which has no query, leads to."""
        if (colon := path.rfind(":")) > path.rfind("/") and (self._any_verb or path[colon + 1 :] in self._verbs):
            path = f"{path[:colon]}/{path[colon + 1 :]}"
        parts = path[1:].split("/")
        while parts and not parts[-1]:
            parts.pop()
        for node in self._ends(self._root, parts, 0):
            end = node.ends.get(method) or node.ends.get(ANY)
            if end is not None:
                template, data = end
                return Found(data, tuple(self._value(one, parts) for one in template.variables))
        return None

    def _ends(self, node: _Node[T], parts: list[str], at: int) -> Iterator[_Node[T]]:
        """The nodes that all of `parts` from `at` on lead to, the best one first."""
        rest = node.children.get(REST)
        if at == len(parts):
            yield node
        else:
            for key in (parts[at], ANY):
                child = node.children.get(key)
                if child is not None and not (key == parts[at] and key in (ANY, REST)):
                    yield from self._ends(child, parts, at + 1)
        if rest is not None:
            if parts[at:] and parts[-1] in rest.children:
                yield rest.children[parts[-1]]  # its verb
            yield rest

    def _value(self, variable: Variable, parts: list[str]) -> tuple[str, str]:
        end = variable.end if variable.end > 0 else len(parts) + variable.end + 1
        kept = self._kept if variable.several() else frozenset()
        return variable.field, "/".join(unescape(part, kept) for part in parts[variable.start : end])


def unescape(text: str, kept: frozenset[int] = frozenset()) -> str:
    """`text` without its percent-encoding, but for octets in `kept`; what is no UTF-8 then becomes U+FFFD."""

    def octet(match: re.Match[str]) -> str:
        number = int(match[1], 16)
        return match[0] if number in kept else chr(number)

    return _ESCAPE.sub(octet, text).encode("latin-1", "replace").decode("utf-8", "replace")


def query_values(query: str, ignored: frozenset[str], *, plus: bool) -> list[tuple[str, str]]:
    """Fields and values of a query, but for `ignored`; parts without a name or `=` say nothing. `plus`: is a space."""
    found = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if name and equals and name not in ignored:
            found.append((name, unescape(value.replace("+", " ") if plus else value)))
    return found
