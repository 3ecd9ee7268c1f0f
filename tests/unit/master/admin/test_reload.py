"""`/reload` and the orders behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from master.admin.dispatch import answer
from master.admin.page import Context, Reply
from master.stats.aggregate import Intervals
from proxy.config.common import SocketAddress
from proxy.config.listener import Listener
from shm.metrics import Metrics
from tests.kit.trio import run_trio
from tests.kit.view import MAX_WORKERS, LiveView, configuration, live_view


@pytest.fixture
def view() -> Iterator[LiveView]:
    web = Listener("web", (SocketAddress("127.0.0.1", 80),), "127.0.0.1_80", ())
    with live_view(configuration([], listeners=(web,))) as made:
        yield made


async def ask(view: LiveView, target: str, method: str = "GET") -> Reply:
    return await answer(method, target, Context(view, Intervals({})))


@run_trio
async def test_orders(view: LiveView) -> None:
    for target in ("/reload/begin", "/reload/begin?show", "/reload/rollback", "/reload/rollback?version=3"):
        assert (await ask(view, target, "POST")).status == 200
        assert (await ask(view, target)).status == 405
    assert view.orders == ["reload None False", "reload None True", "rollback 0 False", "rollback 3 False"]
    assert (await ask(view, f"/reload/rollback?version={MAX_WORKERS}", "POST")).status == 409
    assert (await ask(view, "/reload/rollback?version=x", "POST")).status == 400


@run_trio
async def test_a_listener_that_would_drain_comes_with_its_connections(
    view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(kind: str, name: str, how: str) -> dict[str, Any]:
        return {"kind": kind, "name": name, "how": how, "chains_only": False}

    view.reload_status = {
        "changes": [
            change("listener", "web", "drains"),
            change("listener", "new", "added"),
            change("cluster", "web", "removed"),
        ]
    }
    gauges = {"listener.127.0.0.1_80.downstream_cx_active": 3}
    monkeypatch.setattr(view, "metrics", lambda: Metrics(counters={}, gauges=gauges, histograms={}))
    shown = json.loads((await ask(view, "/reload")).body)["changes"]
    assert shown[0] == {"kind": "listener", "name": "web", "how": "drains", "connections": 3}
    assert ["connections" in each for each in shown] == [True, False, False]
