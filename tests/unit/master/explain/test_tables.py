"""Every flag and every detail that the code can emit has its row of words. The source is what is asked."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from master.explain import details, settings
from master.explain.flags import FLAGS
from proxy.errors import Flag
from proxy.filters.network import hcm_record
from proxy.net.tls import refusal
from proxy.upstream.failures import Reason, reset

ROOT = Path(__file__).resolve().parents[4]
# Calls whose first argument is a detail. `unwritable` makes `http1.unwritable_<argument>` of it.
EMITTERS = {"ProxyError", "CodecError", "bad_request", "unwritable", "Refusal"}


def emitted(path: Path) -> Iterator[tuple[str, int]]:
    """(detail, line) of every constant detail in a file; what a formatted one leaves open is `x`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in EMITTERS:
                for text in constants(node.args[0]):
                    yield (f"http1.unwritable_{text}" if name == "unwritable" else text), node.lineno
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Attribute) and target.attr == "detail" for target in targets):
            assert isinstance(node, ast.Assign)
            yield from ((text, node.lineno) for text in constants(node.value) if text)


def constants(node: ast.expr) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=orelse):
            return [*constants(body), *constants(orelse)]
        case ast.JoinedStr(values=values):
            if isinstance(values[0], ast.Constant) and str(values[0].value).startswith("upstream_reset_"):
                return []  # each reason is looked at below
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in values)]
    return []


ALL = [
    pytest.param(detail, id=f"{path.relative_to(ROOT)}:{line}")
    for path in sorted((ROOT / "proxy").rglob("*.py"))
    for detail, line in emitted(path)
]


def test_the_walk_finds_details() -> None:
    found = {parameter.values[0] for parameter in ALL}
    assert {"response_timeout", "via_upstream", "http1.codec_error", "http1.unwritable_status", "low_version"} <= found


@pytest.mark.parametrize("detail", ALL)
def test_every_detail_of_the_source_is_explained(detail: str) -> None:
    assert details.find(detail) is not None, f"master/explain/details.py has no row for {detail!r}"


@pytest.mark.parametrize("detail", sorted(refusal.DETAILS))
def test_every_reason_why_a_handshake_fails_is_explained(detail: str) -> None:
    assert details.DETAILS[detail].look


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("reason", "transport"),
    [*((reason, "") for reason in get_args(Reason)), ("remote connection failure", "delayed connect error: refused")],
)
def test_every_upstream_reset_is_explained(reason: Reason, transport: str, started: bool) -> None:
    detail = reset(reason, transport_failure=transport, response_started=started).detail
    assert details.find(detail) is not None, detail


@pytest.mark.parametrize("flag", list(Flag), ids=lambda flag: flag.value)
def test_every_flag_is_explained(flag: Flag) -> None:
    meaning = FLAGS[flag]
    assert meaning.words
    assert meaning.look


def test_every_setting_that_a_detail_names_is_described() -> None:
    for row in details.DETAILS.values():
        for field in row.settings:
            assert field in settings.SETTINGS


def test_every_limit_that_a_worker_records_is_described() -> None:
    names = {
        node.value
        for node in ast.walk(ast.parse(Path(hcm_record.__file__).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value[:1].isupper()
        and "." in node.value and " " not in node.value
    }  # fmt: skip
    assert "RouteAction.timeout" in names
    assert names <= settings.SETTINGS.keys()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("RouteAction.timeout", 15.0, "the route's timeout of 15 s (RouteAction.timeout, the default)"),
        ("RouteAction.timeout", 0.25, "the route's timeout of 0.25 s (RouteAction.timeout, configured)"),
        ("x-envoy-upstream-rq-timeout-ms", 15.0,
         "the timeout that the request asked for of 15 s (x-envoy-upstream-rq-timeout-ms, a header)"),
        ("RouteAction.timeout", None, "the route's timeout (RouteAction.timeout; default 15 s)"),
        ("HttpConnectionManager.request_timeout", None,
         "the time for a whole request to arrive (HttpConnectionManager.request_timeout; default none)"),
        ("CircuitBreakers.Thresholds.max_requests", 7.0,
         "the cluster's requests at once of 7 (CircuitBreakers.Thresholds.max_requests, configured)"),
        ("Unknown.field", 3.0, "Unknown.field = 3"), ("Unknown.field", None, "Unknown.field"),
    ],
)  # fmt: skip
def test_a_setting_is_named_with_its_value(field: str, value: float | None, words: str) -> None:
    assert settings.describe(field, value) == words
