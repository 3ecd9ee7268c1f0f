"""`/explain`: the answer as text and as JSON, with the numbers of the running proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from master.admin.dispatch import answer
from master.admin.page import Context, Reply
from master.stats.aggregate import Intervals
from proxy.upstream.tables import ClusterColumn, HostColumn
from tests.kit.config import bootstrap, compiled
from tests.kit.trio import run_trio
from tests.kit.view import LiveView, live_view


@pytest.fixture
def view() -> Iterator[LiveView]:
    with live_view(compiled(bootstrap())) as made:
        made.listeners = [("main", ["127.0.0.1:4711"])]
        yield made


async def ask(view: LiveView, **parameters: str) -> Reply:
    target = f"/explain?{urlencode(parameters)}"
    return await answer("GET", target, Context(view, Intervals({})))


@run_trio
async def test_a_request_in_words(view: LiveView) -> None:
    reply = await ask(view, method="GET", url="http://x.test:4711/a")
    text = reply.body.decode()
    assert reply.status == 200
    assert text.startswith("GET http://x.test:4711/a\n  → cluster origin: 1 host\n")
    assert "main: listens on 127.0.0.1:4711" in text
    assert "static_resources.clusters" not in text.partition("\n\n")[0]
    assert "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config" in text


@run_trio
async def test_as_json_with_the_numbers_of_the_running_proxy(view: LiveView) -> None:
    view.host_writers[0].add(0, HostColumn.CX_ACTIVE, 2)
    view.host_writers[1].add(0, HostColumn.RQ_ACTIVE, 1)
    view.cluster_writers[0].add(0, ClusterColumn.REQUESTS, 3)
    told = json.loads((await ask(view, method="GET", url="/", format="json")).body)
    (host,) = told["cluster"]["hosts"]
    assert (host["cx_active"], host["rq_active"]) == (2, 1)
    assert {one["name"]: one["used"] for one in told["cluster"]["breakers"]}["max_requests"] == 3
    assert told["configuration"]["path"] == "envoy.yaml"
    assert len(told["configuration"]["fingerprint"]) == 64


@run_trio
async def test_headers_come_one_by_one_or_line_by_line(view: LiveView) -> None:
    target = "/explain?method=GET&url=/&header=a:%201&header=b:%202%0Ac:%203&format=json"
    reply = await answer("GET", target, Context(view, Intervals({})))
    headers = dict(map(tuple, json.loads(reply.body)["upstream"]["headers"]))
    assert (headers["a"], headers["b"], headers["c"]) == ("1", "2", "3")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "usage: /explain"),
        ({"method": "GET"}, "usage: /explain"),
        ({"method": "GET", "url": "nowhere"}, "neither a URL"),
        ({"method": "GET", "url": "/", "listener": "other"}, "no listener is called 'other'"),
        ({"method": "GET", "url": "/", "header": "a"}, "no header line"),
    ],
)
@run_trio
async def test_what_it_cannot_use(view: LiveView, parameters: dict[str, str], words: str) -> None:
    reply = await ask(view, **parameters)
    assert reply.status == 400
    assert words in reply.body.decode()


@run_trio
async def test_the_text_has_nothing_that_a_terminal_acts_on(view: LiveView) -> None:
    reply = await ask(view, method="GET", url="/", header="x: \x1b[31mred")
    assert b"\x1b" not in reply.body
