"""`%COALESCE({"operators": [...]})%`: the first of several operators that has a value."""

from __future__ import annotations

import json
from typing import Any

from proxy.access_log.operator import Build, FormatError, Getter, Value, required, truncated
from proxy.http.stream_info import StreamInfo

_EXPECTED = '{"operators": ["NAME", {"command": "NAME", "param": "…", "max_length": 8}, …]}'


def _coalesce(parameter: str | None) -> Getter:
    try:
        tree = json.loads(required(parameter, _EXPECTED))
    except ValueError as error:
        raise FormatError(f"the parameter is no JSON: {error}", _EXPECTED) from error
    operators = tree.get("operators") if isinstance(tree, dict) else None
    if not isinstance(operators, list) or not operators:
        raise FormatError("the parameter has no operators", _EXPECTED)
    getters = [_operator(operator) for operator in operators]

    def get(info: StreamInfo) -> Value:
        for getter in getters:
            if (value := getter(info)) not in (None, b""):
                return value
        return None

    return get


def _operator(value: Any) -> Getter:
    # Imported here: this is one of them.
    from proxy.access_log.operators import OPERATORS

    match value:
        case str(name):
            parameter, length = None, None
        case {"command": str(name)}:
            parameter, length = value.get("param"), value.get("max_length")
        case _:
            raise FormatError(f"{json.dumps(value)} is no operator", _EXPECTED)
    build = OPERATORS.get(name)
    if build is None:
        raise FormatError(f"unknown operator {name!r}", "a command operator that is supported")
    if not isinstance(parameter, str | None) or (length is not None and (type(length) is not int or length <= 0)):
        raise FormatError(f"{json.dumps(value)} is no operator", _EXPECTED)
    getter = build(parameter or None)
    return getter if length is None else truncated(getter, length)


OPERATORS: dict[str, Build] = {"COALESCE": _coalesce}
