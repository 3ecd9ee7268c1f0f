"""URI templates (`/v1/{user}/items/{rest=**}`), which match paths and rewrite them: both become regular expressions.

The grammar is Envoy's (`extensions.path.match.uri_template`, `.rewrite.uri_template`): segments that are literals, `*`
(one segment), `**` (the rest, empty too) or variables, `{name}` or `{name=segments}`; behind the last one a literal may
follow without a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_VARIABLES = 5
MAX_NAME = 16  # characters of a variable's name

_CHARACTERS = r"a-zA-Z0-9\-._~%!$&'()+,;:@="
_LITERAL = re.compile(f"[{_CHARACTERS}]+")
_REWRITE_LITERAL = re.compile(f"[{_CHARACTERS}/]+")
_NAME = re.compile("[a-zA-Z][a-zA-Z0-9_]*")
_ONE = "[a-zA-Z0-9-._~%!$&'()*+,;:@=]+"
_REST = "[a-zA-Z0-9-._~%!$&'()*+,;:@=/]*"
_GLOBS = {"*": _ONE, "**": _REST}


class Template(NamedTuple):
    """A template as a regular expression of the whole path, and the names of its groups, in order."""

    pattern: str
    variables: tuple[str, ...]


class TemplateError(Exception):
    """A template is wrong; the message says where."""


def compile_template(text: str) -> Template:
    """`text` as a regular expression; raises `TemplateError`."""
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text:
        raise TemplateError(f"{text!r} is not a path template: it begins with / and has no spaces")
    variables: list[str] = []
    pieces: list[str] = []
    rest_taken = False
    position = 1
    while position < len(text):
        segment, end = _segment(text, position)
        globs = list(_globs(segment))
        for index, glob in enumerate(globs):
            if rest_taken or "**" in globs[:index]:
                raise TemplateError(f"{segment!r} in {text!r} comes behind a **, which takes all there is")
            rest_taken = rest_taken or (glob == "**" and index == len(globs) - 1)
        pieces.append(_piece(segment, variables))
        if end == len(text):
            break
        if text[end] == "/":
            position = end + 1
            if position == len(text):
                pieces.append("")
            continue
        suffix = text[end:]
        if not _LITERAL.fullmatch(suffix):
            raise TemplateError(f"{suffix!r} in {text!r} is no literal, which alone may follow the last segment")
        return Template(f"/{'/'.join(pieces)}{re.escape(suffix)}", tuple(variables))
    return Template(f"/{'/'.join(pieces)}", tuple(variables))


def compile_rewrite(text: str, variables: tuple[str, ...]) -> str:
    """The substitution that `text`, a path with `{variables}` of a template, stands for; raises `TemplateError`."""
    if not text.startswith("/"):
        raise TemplateError(f"{text!r} is not a path: it begins with /")
    written = ""
    for part in re.split(r"(\{[^}]*\})", text):
        if part.startswith("{"):
            name = part[1:-1]
            if name not in variables:
                raise TemplateError(f"{name!r} is no variable of the match's path_template")
            written += f"\\{variables.index(name) + 1}"
        elif part and not _REWRITE_LITERAL.fullmatch(part):
            raise TemplateError(f"{part!r} in {text!r} is no literal of a path")
        else:
            written += part
    return written


def _segment(text: str, start: int) -> tuple[str, int]:
    """The segment of `text` that begins at `start`, and where it ends."""
    if text.startswith("**", start):
        return "**", start + 2
    if text[start] == "*":
        return "*", start + 1
    if text[start] == "{":
        end = text.find("}", start) + 1
        if end <= 0:
            raise TemplateError(f"{text[start:]!r} has no closing bracket")
        return text[start:end], end
    end = text.find("/", start)
    end = len(text) if end < 0 else end
    if not _LITERAL.fullmatch(text, start, end):
        raise TemplateError(f"{text[start:end]!r} in {text!r} is no literal")
    return text[start:end], end


def _parts(segment: str) -> list[str]:
    """The segments in a variable; a variable without is `*`."""
    _, equals, inside = segment[1:-1].partition("=")
    return inside.split("/") if equals else ["*"]


def _globs(segment: str) -> Iterator[str]:
    for part in _parts(segment) if segment.startswith("{") else [segment]:
        if part in _GLOBS:
            yield part


def _piece(segment: str, variables: list[str]) -> str:
    if segment in _GLOBS:
        return _GLOBS[segment]
    if not segment.startswith("{"):
        return re.escape(segment)
    name = segment[1:-1].partition("=")[0]
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise TemplateError(f"{name!r} is no variable: a letter, then letters, digits and _, {MAX_NAME} at most")
    if name in variables or len(variables) >= MAX_VARIABLES:
        raise TemplateError(f"variable {name!r} comes twice, or is one too many ({MAX_VARIABLES} at most)")
    variables.append(name)
    pieces = []
    for part in _parts(segment):
        if part not in _GLOBS and not _LITERAL.fullmatch(part):
            raise TemplateError(f"{part!r} in {segment!r} is no literal, * or **")
        pieces.append(_GLOBS.get(part) or re.escape(part))
    return f"({'/'.join(pieces)})"
