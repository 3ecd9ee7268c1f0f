"""`%CEL(expression)%`, which is text, and `%TYPED_CEL(expression)%`, which JSON keeps the type of."""

from __future__ import annotations

from proxy.access_log.operator import Build, Getter, Structured, Value, required
from proxy.http.stream_info import StreamInfo


def _cel(parameter: str | None) -> Getter:
    # Imported here: the attributes are partly what other operators say.
    from proxy.access_log.cel import Failed, compile_expression
    from proxy.access_log.cel_attributes import text_of
    from proxy.access_log.operators.header import one_line

    evaluate = compile_expression(required(parameter, "a CEL expression"))

    def get(info: StreamInfo) -> Value:
        try:
            return one_line(text_of(evaluate(info)))
        except Failed:
            return None

    return get


def _typed_cel(parameter: str | None) -> Getter:
    from proxy.access_log.cel import Failed, compile_expression
    from proxy.access_log.cel_attributes import json_of, text_of

    evaluate = compile_expression(required(parameter, "a CEL expression"))

    def get(info: StreamInfo) -> Value:
        try:
            value = evaluate(info)
        except Failed:
            return None
        return Structured(json_of(value), shown=text_of(value))

    return get


OPERATORS: dict[str, Build] = {"CEL": _cel, "TYPED_CEL": _typed_cel}
