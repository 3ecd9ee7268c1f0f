"""Filters in Python, from the bootstrap to a running server; what cannot run is a finding with its place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.config.finding import Finding
from tests.kit.config import ROUTE_CONFIG, bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import ROUTER, through

PACKAGE = "envoy.extensions.filters.http.dynamic_modules.v3"
FILTER = f"{PACKAGE}.DynamicModuleFilter"
SOURCE = """
import trio
from proxy.python_filter import Filter, FilterConfig, local_reply

class Tag(Filter):
    class Config(FilterConfig):
        value: str = "none"
        limit: int = 5

    async def __call__(self, exchange, call_next):
        config = self.config_for(exchange)
        exchange.on_response_headers(lambda head: head.headers.add(b"x-tag", config.value.encode()))
        if exchange.request.method == b"POST":
            body = await exchange.body.read_all(config.limit)
            exchange.request.headers.add(b"x-body", body)
        await call_next(exchange)

class Hook:
    def __init__(self, config):
        if config == {"refuse": True}:
            raise ValueError("not this one")
        self.config = config
    Config = dict[str, int]
    def on_request_headers(self, exchange):
        exchange.request.headers.add(b"x-hook", str(self.config["n"]).encode())

async def function(exchange, call_next):
    raise local_reply(418, b"tea", headers=((b"x-a", b"b"),))

class Text(Hook):
    Config = str
    def on_request_headers(self, exchange):
        exchange.request.headers.add(b"x-hook", self.config.encode())

class Sync(Filter):
    def __call__(self, exchange, call_next): ...

class Async(Filter):
    async def on_request_headers(self, exchange): ...

class Both(Filter):
    def on_request_headers(self, exchange): ...
    async def __call__(self, exchange, call_next): ...

class Neither(Filter): ...

number = 3
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory of filters, and no trace of it afterwards."""
    (tmp_path / "user_filters.py").write_text(SOURCE)
    (tmp_path / "user_broken.py").write_text("def f(:\n")
    (tmp_path / "user_failing.py").write_text("\n\nundefined\n")
    (tmp_path / "user_importing.py").write_text("import not_there_at_all\n")
    (tmp_path / "user_leaving.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield
    for name in [name for name in sys.modules if name.startswith("user_")]:
        del sys.modules[name]


def filter_yaml(name: str, config: str = "", module: str = "user_filters") -> str:
    own = f", filter_config: {config}" if config else ""
    return (
        f'{{name: own, typed_config: {{"@type": type.googleapis.com/{FILTER}, '
        f"dynamic_module_config: {{name: {module}}}, filter_name: {name}{own}}}}}"
    )


def struct(value: str) -> str:
    return f'{{"@type": type.googleapis.com/google.protobuf.Struct, value: {value}}}'


def text(value: str) -> str:
    return f'{{"@type": type.googleapis.com/google.protobuf.StringValue, value: {value}}}'


def fault(name: str, config: str = "", module: str = "user_filters") -> Finding:
    (found,) = findings(bootstrap(http_filters=f"- {filter_yaml(name, config, module)}\n- {ROUTER}"))
    return found


@run_trio
@pytest.mark.field(
    f"{FILTER}.dynamic_module_config",
    f"{FILTER}.filter_name",
    f"{FILTER}.filter_config",
    "envoy.extensions.dynamic_modules.v3.DynamicModuleConfig.name",
)
async def test_a_filter_with_a_configuration() -> None:
    head, answer = await through(filter_yaml("Tag", struct("{value: mine}")))
    assert head.startswith(b"GET / ")
    assert b"\r\nx-tag: mine\r\n" in answer


@run_trio
async def test_a_body_within_and_beyond_a_limit() -> None:
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
    head, _ = await through(filter_yaml("Tag"), request % 5, body=b"abcde")
    assert b"\r\nx-body: abcde\r\n" in head
    assert head.endswith(b"\r\n\r\nabcde")
    head, answer = await through(filter_yaml("Tag"), request % 6, body=b"abcdef")
    assert (head, answer[:13]) == (b"", b"HTTP/1.1 413 ")


@run_trio
async def test_hooks_and_functions() -> None:
    head, _ = await through(filter_yaml("Hook", struct("{n: 3}")))
    assert b"\r\nx-hook: 3\r\n" in head
    head, answer = await through(filter_yaml("function"))
    assert head == b""
    assert answer.startswith(b"HTTP/1.1 418 ")
    assert b"\r\nx-a: b\r\n" in answer
    assert answer.endswith(b"\r\n\r\ntea")


@run_trio
@pytest.mark.parametrize(
    ("name", "config", "seen"),
    [
        ("Hook", text("""'{"n": 4}'"""), b"4"),
        ("Text", text("plain"), b"plain"),
    ],
)
async def test_text_is_json_unless_text_is_wanted(name: str, config: str, seen: bytes) -> None:
    head, _ = await through(filter_yaml(name, config))
    assert b"\r\nx-hook: %b\r\n" % seen in head


@run_trio
@pytest.mark.field(
    f"{FILTER}PerRoute.dynamic_module_config",
    f"{FILTER}PerRoute.per_route_config_name",
    f"{FILTER}PerRoute.filter_config",
)
async def test_per_route_configuration() -> None:
    _, answer = await through(filter_yaml("Tag"), route_config=per_route("{value: routed}"))
    assert b"\r\nx-tag: routed\r\n" in answer


def per_route(value: str, name: str = "Tag") -> str:
    own = (
        f'typed_per_filter_config: {{own: {{"@type": type.googleapis.com/{FILTER}PerRoute, dynamic_module_config: '
        f"{{name: user_filters}}, per_route_config_name: {name}, filter_config: {struct(value)}}}}}"
    )
    return ROUTE_CONFIG.replace('- match: {prefix: "/"}', f'- match: {{prefix: "/"}}\n    {own}')


def test_a_bad_per_route_configuration() -> None:
    own = bootstrap(http_filters=f"- {filter_yaml('Tag')}\n- {ROUTER}", route_config=per_route("{limit: no}"))
    (found,) = findings(own)
    assert found.field_path.endswith("routes[0].typed_per_filter_config.own.filter_config.value.limit")


@pytest.mark.parametrize(
    ("name", "config", "path", "message"),
    [
        ("Tag", struct("{limit: many}"), "filter_config.value.limit", "Expected `int`, got `str`"),
        ("Tag", struct("{limt: 1}"), "filter_config.value", "Object contains unknown field `limt`"),
        ("Tag", text("'{'"), "filter_config.value", "neither a Struct nor JSON"),
        (
            "Tag",
            "{'@type': type.googleapis.com/google.protobuf.Duration, value: 1s}",
            "filter_config",
            "Duration is no",
        ),
        ("Hook", struct("{a: {b: 1}}"), "filter_config.value", "Expected `int`, got `object`"),
        ("Hook", struct("{refuse: true}"), "filter_config.value", "Expected `int`, got `bool`"),
        ("function", struct("{a: 1}"), "filter_config.value", "the filter takes no configuration"),
        ("Sync", "", "filter_name", "__call__ of 'Sync' is not async"),
        ("Async", "", "filter_name", "on_request_headers of 'Async' is async"),
        ("Both", "", "filter_name", "'Both' has both __call__ and on_request_headers"),
        ("Neither", "", "filter_name", "'Neither' has neither __call__ nor"),
        ("number", "", "filter_name", "'number' is neither a class nor an async function"),
        ("Tga", "", "filter_name", "has no 'Tga'"),
    ],
)
def test_what_cannot_run(name: str, config: str, path: str, message: str) -> None:
    found = fault(name, config)
    assert found.field_path.endswith(f"http_filters[0].typed_config.{path}")
    assert message in found.message


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("user_broken", ["SyntaxError", "user_broken.py, line 1"]),
        ("user_failing", ["NameError", "user_failing.py, line 3"]),
        ("user_importing", ["ModuleNotFoundError: No module named 'not_there_at_all'", "user_importing.py, line 1"]),
        ("user_leaving", ["SystemExit: 3"]),
        ("user_absent", ["there is no Python module 'user_absent'"]),
        ("user_filters.inner", ["there is no Python module 'user_filters.inner'"]),
        ("../user", ["is not the name of a Python module"]),
    ],
)
def test_a_module_that_cannot_be_imported(module: str, words: list[str]) -> None:
    found = fault("X", module=module)
    assert found.field_path.endswith("typed_config.dynamic_module_config.name")
    for word in words:
        assert word in found.message
