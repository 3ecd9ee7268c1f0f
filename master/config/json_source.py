"""JSON → tree, by RFC 8259.

Envoy's parser also takes trailing commas, single quotes and bare names; such a file is YAML and can be named so.
"""

from __future__ import annotations

import json
from typing import Any

from master.config.finding import Finding
from master.config.source import Source
from master.config.tree import MAX_DEPTH, Parsed, syntax

_MAX_DIGITS = 400


def parse(source: Source) -> Parsed:
    """The tree of `source`. Duplicate names are found by position, in a second pass, only if there are any."""
    duplicates = False

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        result = dict(pairs)
        duplicates |= len(result) != len(pairs)
        return result

    decoder = json.JSONDecoder(object_pairs_hook=collect, parse_int=_integer, parse_constant=_constant)
    try:
        root = decoder.decode(source.text)
    except json.JSONDecodeError as error:
        return Parsed(None, (syntax(source.name, error.lineno - 1, error.colno - 1, error.msg),))
    except RecursionError:
        return Parsed(None, (syntax(source.name, 0, 0, f"nested more than {MAX_DEPTH} levels deep"),))
    except ValueError as error:
        return Parsed(None, (syntax(source.name, 0, 0, str(error)),))
    if not isinstance(root, dict):
        return Parsed(None, (syntax(source.name, 0, 0, "the configuration is not an object", "an object of fields"),))
    if _is_deeper(root, MAX_DEPTH):
        return Parsed(None, (syntax(source.name, 0, 0, f"nested more than {MAX_DEPTH} levels deep"),))
    findings: tuple[Finding, ...] = ()
    if duplicates:
        from master.config.json_positions import find_duplicates

        findings = find_duplicates(source)
    return Parsed(root, findings)


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict | list):
        if levels == 0:
            return True
        return any(_is_deeper(child, levels - 1) for child in (value.values() if isinstance(value, dict) else value))
    return False
