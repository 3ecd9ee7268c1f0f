"""Access log filters: which exchanges each of them lets through."""

from __future__ import annotations

import pytest

from proxy.access_log.filters import compile_filter
from proxy.config.access_log import (
    AccessLogFilter,
    Combination,
    Comparison,
    HeaderFilter,
    NotHealthCheck,
    ResponseFlags,
)
from proxy.config.common import HeaderMatcher, StringMatcher
from tests.unit.proxy.access_log.streams import complete, failed

X_A = HeaderFilter(HeaderMatcher("x-a", StringMatcher("exact", "hello")))
PATH = HeaderFilter(HeaderMatcher(":path", StringMatcher("prefix", "/p")))


@pytest.mark.parametrize(
    ("condition", "well", "badly"),
    [
        (Comparison("status", "EQ", 200), True, False),
        (Comparison("status", "NE", 200), False, True),
        (Comparison("status", "GE", 400), False, True),
        (Comparison("status", "LE", 399), True, False),
        (Comparison("duration", "GE", 46), True, False),
        (Comparison("duration", "GE", 47), False, False),
        (Comparison("duration", "EQ", 46), True, False),
        (NotHealthCheck(), True, True),
        (X_A, True, False),
        (PATH, True, False),
        (ResponseFlags(), False, True),
        (ResponseFlags(("UF", "DPE")), False, True),
        (ResponseFlags(("UF",)), False, False),
        (Combination("and", (X_A, PATH)), True, False),
        (Combination("and", (X_A, ResponseFlags())), False, False),
        (Combination("or", (X_A, ResponseFlags())), True, True),
        (Combination("or", (Comparison("status", "EQ", 1), Comparison("status", "EQ", 2))), False, False),
    ],
)
def test_filter(condition: AccessLogFilter, well: bool, badly: bool) -> None:
    logged = compile_filter(condition)
    assert (logged(complete()), logged(failed())) == (well, badly)
