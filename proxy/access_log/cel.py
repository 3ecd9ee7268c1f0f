"""CEL expressions over an exchange's attributes, by cel-cpp, which is Envoy's engine too (the extra `cel`).

Expressions are the operator's, what they look at is the client's. There are no loops, as in Envoy, and regular
expressions are RE2's: an evaluation takes time in proportion to the expression and to the heads, whose sizes are
limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from proxy.access_log.cel_attributes import ATTRIBUTES
from proxy.access_log.operator import FormatError
from proxy.http.stream_info import StreamInfo

MAX_LENGTH = 4096
"""Bytes of an expression."""

_LITERAL = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_LOOP = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|transformList|transformMap)\s*\(")
_CONVERSION = re.compile(r"(?<![\w.])(string)\s*\(")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")


class Failed(Exception):
    """The evaluation came to an error, as it does for what is not there."""


Evaluate = Callable[[StreamInfo], Any]
"""The value of an expression, of Python's types: None, bool, int, float, str, bytes, datetime, timedelta, list, dict,
or the library's. Raises `Failed`."""


def compile_expression(text: str) -> Evaluate:
    """Raises `FormatError` for what is no expression, or calls a function that there is none of."""
    try:
        # Imported here: only who uses it needs it.
        from cel_expr_python import cel
    except ImportError as error:
        raise FormatError(
            "CEL needs the package cel-expr-python, which is not installed", "pip install 'trireme-proxy[cel]'"
        ) from error
    if len(text.encode()) > MAX_LENGTH:
        raise FormatError(f"the expression is longer than {MAX_LENGTH} bytes", "a shorter one")
    bare = _LITERAL.sub("''", text)
    if found := _LOOP.search(bare) or _CONVERSION.search(bare):
        raise FormatError(f"{text!r} calls {found[1]}, which Envoy does not allow", "an expression without it")
    environment = cel.NewEnv(variables=dict.fromkeys(ATTRIBUTES, cel.Type.DYN))
    try:
        expression = environment.compile(text, disable_check=True)
    except RuntimeError as error:
        raise FormatError(f"{text!r} is no CEL expression: {_first_line(error)}", "a CEL expression") from error
    _check_functions(environment, text)
    used = [(name, get) for name, get in ATTRIBUTES.items() if re.search(rf"(?<![\w.]){name}\b", text)]

    def evaluate(info: StreamInfo) -> Any:
        try:
            value = expression.eval(data={name: get(info) for name, get in used})
            if value.type().name() == "ERROR":
                raise Failed(str(value.value()))
            return value.plain_value()
        except RuntimeError as error:  # a value that is no CEL, or the end of the budget
            raise Failed(str(error)) from error

    return evaluate


def _check_functions(environment: Any, text: str) -> None:
    """Whatever else the checker says is for the evaluation to find: attributes have no types of their own."""
    try:
        environment.compile(text)
    except RuntimeError as error:
        for name in _UNDECLARED.findall(str(error)):
            if re.search(rf"\b{re.escape(name)}\s*\(", text):
                raise FormatError(f"{text!r} calls {name}, which is no function of CEL", "a CEL expression") from error


def _first_line(error: RuntimeError) -> str:
    return str(error).partition("\n")[0].removeprefix("INVALID_ARGUMENT: ERROR: ")
