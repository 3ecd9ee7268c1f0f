"""`/sessions`, and the holders of `/drains`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from master.admin.dispatch import answer
from master.admin.page import Context, Reply
from master.controller.questions import Asked
from master.stats.aggregate import Intervals
from proxy.config.common import SocketAddress
from proxy.config.listener import Listener
from tests.kit.trio import run_trio
from tests.kit.view import LiveView, configuration, live_view


def session(age: float, listener: str) -> dict[str, Any]:
    return {"id": 1, "peer": "10.0.0.1:5", "listener": listener, "age": age, "kind": "idle", "generation": 1}


async def ask(view: LiveView, target: str) -> Reply:
    return await answer("GET", target, Context(view, Intervals({})))


@run_trio
async def test_the_question_is_passed_on_and_the_answer_back() -> None:
    with live_view() as view:
        view.connected = [session(40, "a"), session(35, "b"), session(5, "a")]
        view.silent = [Asked(77, 1, 3)]
        everything = json.loads((await ask(view, "/sessions")).body)
        assert everything["total"] == 3
        assert everything["sessions"] == view.connected
        assert everything["silent"] == [{"worker": 3, "generation": 1, "pid": 77}]
        assert json.loads((await ask(view, "/sessions?older=30&listener=a")).body)["sessions"] == view.connected[:1]
        assert json.loads((await ask(view, "/sessions?generation=2")).body)["total"] == 0
        few = json.loads((await ask(view, "/sessions?limit=1")).body)
        assert (few["total"], len(few["sessions"])) == (3, 1)


@run_trio
async def test_bad_numbers_are_told() -> None:
    with live_view() as view:
        for query in ("older=-1", "older=x", "older=inf", "older=nan", "limit=0", "limit=1000", "generation=x"):
            reply = await ask(view, f"/sessions?{query}")
            assert reply.status == 400, query
            assert b"usage" in reply.body


@run_trio
@pytest.mark.parametrize("holders", [False, True])
async def test_drains_name_who_holds_them_if_asked(holders: bool) -> None:
    listeners = tuple(Listener(name, (SocketAddress("127.0.0.1", 0),), name, ()) for name in ("a", "b"))
    with live_view(configuration([], listeners=listeners)) as view:
        for name in ("a", "b"):
            view.stats.gauge(f"listener.{name}.downstream_cx_active").set(1)
        view.connected = [session(40, "a"), session(39, "b")]
        await view.drain_listeners(["a"], graceful=True, close=True)
        found = json.loads((await ask(view, "/drains" + ("?holders" if holders else ""))).body)["listeners"]
        assert [each.get("held_by") for each in found] == [view.connected[:1] if holders else None, None]


@run_trio
async def test_listeners_of_one_stat_prefix_are_told_apart() -> None:
    listeners = tuple(Listener(name, (SocketAddress("127.0.0.1", 0),), "both", ()) for name in ("a", "b"))
    with live_view(configuration([], listeners=listeners)) as view:
        view.stats.gauge("listener.both.downstream_cx_active").set(5)
        view.connected = [session(40, "b"), session(39, "a"), session(38, "b")]
        await view.drain_listeners(["a"], graceful=True, close=True)
        found = json.loads((await ask(view, "/drains")).body)["listeners"]
        assert found[0]["connections"] == 1
        view.silent = [Asked(77, 1, 3)]  # then nobody knows better
        found = json.loads((await ask(view, "/drains")).body)["listeners"]
        assert found[0]["connections"] == 5
