"""YAML → tree, with the scalar rules of Envoy (`parseYamlNode` in source/common/protobuf/yaml_utility.cc).

Envoy reads with yaml-cpp: a plain scalar is null, else a boolean of YAML 1.1 (`on`, `Yes`, `y`), else an integer in
C notation (`017` is 15, `0x1F` is 31), else a string: `1.5`, `1:30`, dates and `.inf` stay text, which the field that
takes them may read as a number. A `<<` key is an ordinary key. Where Envoy silently drops something (an earlier value
of a duplicate key, a second document), this is an error.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml._yaml import CParser

from master.config.source import Source
from master.config.tree import Parsed, syntax
from master.config.yaml_tree import Builder, RejectedError

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    spelling: truth
    for word, truth in [
        ("y", True), ("yes", True), ("true", True), ("on", True),
        ("n", False), ("no", False), ("false", False), ("off", False),
    ]
    for spelling in (word, word.upper(), word.capitalize())
}  # fmt: skip
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


def parse(source: Source) -> Parsed:
    """The first document of `source`; every duplicate key is reported, a syntax error ends the parse."""
    builder = Builder(source.name, scalar)
    try:
        parser = CParser(source.text)
        root = builder.document(parser)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        context = f" {error.context}" if error.context else ""
        return Parsed(None, (syntax(source.name, line, column, f"{error.problem or 'not YAML'}{context}"),))
    except yaml.reader.ReaderError as error:
        before = source.text.encode()[: error.position].decode(errors="ignore")
        return _unreadable(source, before, f"{error.reason} (#x{error.character:04x})")
    except UnicodeEncodeError as error:  # an argument that is not UTF-8
        return _unreadable(source, source.text[: error.start], "not UTF-8")
    except RejectedError as error:
        return Parsed(
            None, (*builder.findings, syntax(source.name, error.line, error.column, error.message, error.expected))
        )
    if not isinstance(root, dict):
        return Parsed(None, (syntax(source.name, 0, 0, "the configuration is not a mapping", "a mapping of fields"),))
    return Parsed(root, tuple(builder.findings))


def _unreadable(source: Source, before: str, message: str) -> Parsed:
    """A character that cannot be read, after the text `before`."""
    column = len(before) - (before.rfind("\n") + 1)
    return Parsed(None, (syntax(source.name, before.count("\n"), column, message),))


def scalar(text: str, tag: str | None, *, plain: bool) -> Any:
    """The JSON value of a scalar; `plain` is false for quoted and block scalars, which are strings.

    yaml-cpp gives them the tag `!`; so with any other tag, even `!!str`, they are read as if they were plain.
    """
    if tag == "!" or (tag is None and not plain):
        return text
    if tag is None and text in _NULLS:
        return None
    truth = _BOOLEANS.get(text)
    if truth is not None:
        return truth
    if len(text) <= 80 and (match := _INTEGER.fullmatch(text)):
        sign, hexadecimal, octal, decimal = match.groups()
        number = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
        number = -number if sign == "-" else number
        if number in _INT32:
            return number
        if number in _INT64:
            return str(number)
    return text
