"""`proxyctl explain` of a running proxy and of a file: one answer, with lines of the file, and what is then served."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from master.cli.main import main
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import fetch
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy, proxyctl

PROD = {"prefix": "/", "headers": [{"name": "x-env", "string_match": {"exact": "prod"}}]}
ROUTES = (
    route(PROD, "other"),
    {"match": {"path": "/hello"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}},
    {"match": {"prefix": "/old"}, "redirect": {"path_redirect": "/new"}},
    route("/api", "origin", timeout="3s", prefix_rewrite="/v1"),
)


class Running(NamedTuple):
    """A proxy with its origin."""

    proxy: Proxy
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def explain(self, path: str, *more: str) -> Result:
        return command(self.proxy.runtime, f"{self.url}{path}", *more)

    def told(self, path: str, *more: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.explain(path, *more, "--json").stdout)["data"]
        return found


def command(runtime: Path, url: str, *more: str) -> Result:
    """In this process: starting one costs more than all the rest."""
    return CliRunner().invoke(main, ["--runtime-dir", str(runtime), "explain", "GET", url, *more])


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with Origin() as origin:
        clusters = [static_cluster("origin", origin.port), static_cluster("other", origin.port)]
        text = bootstrap([http_listener(virtual_host("v", ["*"], *ROUTES))], clusters)
        with Proxy(text) as proxy:
            yield Running(proxy, proxy.address("main")[1])


def line_of(text: str, config: Path) -> str:
    """`file:line:column` of the place in `text` that stands last in a line."""
    return next(part for part in text.split() if part.startswith(f"{config}:"))


def test_the_running_proxy_tells_with_lines_of_its_file(running: Running) -> None:
    arguments = ("GET", f"{running.url}/api/x", "-H", "x-env: dev")
    done = proxyctl("explain", *arguments, runtime=running.proxy.runtime)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"GET {running.url}/api/x\n  → cluster origin: 1 host\n")
    (why,) = (line for line in done.stdout.splitlines() if "header x-env is 'dev', wants exact 'prod'" in line)
    lines = running.proxy.config.read_text().splitlines()
    _, number, column = line_of(why, running.proxy.config).rsplit(":", 2)
    assert lines[int(number) - 1][int(column) - 1 :].startswith("name: x-env")
    (timeout,) = (line for line in done.stdout.splitlines() if line.startswith("  timeout "))
    _, number, column = line_of(timeout, running.proxy.config).rsplit(":", 2)
    assert lines[int(number) - 1][int(column) - 1 :].startswith("timeout: 3s")
    assert done.stderr == ""


def test_what_it_tells_is_what_is_served(running: Running) -> None:
    told = running.told("/api/x?a=b", "-H", "x-env: dev")
    assert told["outcome"] == "forwarded"
    echo = json.loads(fetch(("127.0.0.1", running.port), b"GET /api/x?a=b HTTP/1.1\r\nHost: h\r\n\r\n").body)
    assert echo["target"] == told["upstream"]["path"] == "/v1/x?a=b"
    for path in ("/hello", "/old?q", "/none"):
        reply = running.told(path)["reply"]
        served = fetch(("127.0.0.1", running.port), f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert (reply["status"], reply["size"]) == (served.status, len(served.body))


def test_a_file_needs_no_proxy(running: Running, tmp_path: Path) -> None:
    arguments = ("http://h/api/x", "-H", "x-env: dev", "--json")
    of_file = command(tmp_path, *arguments, "-c", str(running.proxy.config))
    assert of_file.exit_code == 0, of_file.stderr
    told = json.loads(of_file.stdout)["data"]
    of_proxy = json.loads(command(running.proxy.runtime, *arguments).stdout)["data"]
    assert told["cluster"]["hosts"][0]["rq_active"] is None
    assert of_proxy["cluster"]["hosts"][0]["rq_active"] == 0
    for part in ("virtual_host", "tried", "route", "timeouts", "edits", "filters"):
        assert told[part] == of_proxy[part], part


def test_why_says_how_to_explain_a_failure(running: Running) -> None:
    request = b"GET /nothing?a='b' HTTP/1.1\r\nHost: shop.test\r\nx-env: dev\r\nx-request-id: lost\r\n\r\n"
    assert fetch(("127.0.0.1", running.port), request).status == 404
    (failure,) = json.loads(running.proxy.admin("/why?id=lost").body)["failures"]
    words = shlex.split(failure["words"]["explain"])
    assert words[:4] == ["proxyctl", "explain", "GET", "http://shop.test/nothing?a='b'"]
    assert "x-env: dev" in words
    told = command(running.proxy.runtime, *words[3:], "--json")
    assert told.exit_code == 7
    assert json.loads(told.stdout)["data"]["tried"][0]["why"] == "header x-env is 'dev', wants exact 'prod'"
    shown = CliRunner().invoke(main, ["--runtime-dir", str(running.proxy.runtime), "why", "lost"]).stdout
    assert f"  explain  {failure['words']['explain']}\n" in shown


def test_exit_codes(running: Running, tmp_path: Path) -> None:
    assert running.explain("/hello").exit_code == 0
    assert running.explain("/none").exit_code == 7
    usage = running.explain("/x", "-H", "no header")
    assert (usage.exit_code, usage.stdout) == (2, "")
    assert "no header line" in usage.stderr
    unknown = running.explain("/x", "--listener", "maim", "--json")
    assert unknown.exit_code == 2
    assert "did you mean main" in json.loads(unknown.stdout)["errors"][0]["message"]
    assert command(tmp_path, "/").exit_code == 4
    broken = tmp_path / "broken.yaml"
    broken.write_text("static_resources: {listners: []}")
    invalid = command(tmp_path, "/", "-c", str(broken))
    assert invalid.exit_code == 3
    assert "broken.yaml:1:20" in invalid.stderr


def test_a_file_that_has_changed_is_not_pointed_at(running: Running) -> None:
    before = running.proxy.config.read_text()
    running.proxy.config.write_text(before.replace("timeout: 3s", "timeout: 4s"))
    try:
        done = running.explain("/api")
    finally:
        running.proxy.config.write_text(before)
    assert "has changed since it was loaded" in done.stderr
    assert "3 s    static_resources.listeners[0].filter_chains[0]" in done.stdout
    assert str(running.proxy.config) not in done.stdout
