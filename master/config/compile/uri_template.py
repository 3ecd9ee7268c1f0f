"""URI templates (`/v1/{user}/items/{rest=**}`), which match paths and rewrite them: both become regular expressions.

The grammar is Envoy's (`extensions.path.match.uri_template`, `.rewrite.uri_template`): segments that are literals, `*`
(one segment), `**` (the rest, empty too) or variables, `{name}` or `{name=segments}`. Literals may stand around a
variable, and behind the last `*`. A `*` within a literal, which Envoy hands on to RE2 as it is, is refused.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_VARIABLES = 5
MAX_NAME = 16  # characters of a variable's name

_CHARACTERS = r"a-zA-Z0-9\-._~%!$&'()+,;:@="
_LITERAL = re.compile(f"[{_CHARACTERS}]+")
_REWRITE_LITERAL = re.compile(f"[{_CHARACTERS}/]+")
_SEGMENT = re.compile(r"(?:^|(?<=/))((?:[^/{]|\{[^}]*\})*)(?=/|$)")
_WITH_VARIABLE = re.compile(r"([^{}*]*)\{([^}]*)\}([^{}*]*)")
_WITH_GLOB = re.compile(r"(\*\*?)([^*]*)")
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
    segments = _SEGMENT.findall(text[1:])
    if "".join(f"/{segment}" for segment in segments) != text:
        raise TemplateError(f"{text!r} has a bracket that nothing closes")
    variables: list[str] = []
    globs: list[str] = []
    pieces = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        pieces.append("" if last and not segment else _piece(segment, variables, globs, last=last))
    if "**" in globs[:-1]:
        raise TemplateError(f"{text!r} has a {globs[globs.index('**') + 1]} behind a **, which takes all there is")
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


def _piece(segment: str, variables: list[str], globs: list[str], *, last: bool) -> str:
    """One segment as a regular expression; adds to the names and the globs so far."""
    if (found := _WITH_VARIABLE.fullmatch(segment)) is not None:
        before, inside, behind = found.groups()
        return f"{_literal(before)}({_variable(inside, variables, globs)}){_literal(behind)}"
    if (found := _WITH_GLOB.fullmatch(segment)) is not None:
        glob, behind = found.groups()
        if behind and not last:
            raise TemplateError(f"{behind!r} in {segment!r} may stand at the end of the template alone")
        globs.append(glob)
        return _GLOBS[glob] + _literal(behind)
    if not segment:
        raise TemplateError("a segment in the middle is empty")
    return _literal(segment)


def _variable(text: str, variables: list[str], globs: list[str]) -> str:
    """`name` or `name=segments`; a variable without segments is `*`."""
    name, equals, inside = text.partition("=")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise TemplateError(f"{name!r} is no variable: a letter, then letters, digits and _, {MAX_NAME} at most")
    if name in variables or len(variables) >= MAX_VARIABLES:
        raise TemplateError(f"variable {name!r} comes twice, or is one too many ({MAX_VARIABLES} at most)")
    variables.append(name)
    pieces = []
    for part in inside.split("/") if equals else ["*"]:
        if part in _GLOBS:
            globs.append(part)
        elif not part:
            raise TemplateError(f"an empty segment in {{{text}}}")
        pieces.append(_GLOBS.get(part) or _literal(part))
    return "/".join(pieces)


def _literal(text: str) -> str:
    if text and not _LITERAL.fullmatch(text):
        raise TemplateError(f"{text!r} is no literal of a path")
    return re.escape(text)
