"""Standing orders: what holds now, what comes back when, and what a successor finds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from master.controller.standing import LogOrder, StandingOrders, changed, reverted
from proxy.log import COMPONENTS, LEVELS
from tests.kit.trio import run_trio

INFO = {"admin": "info", "dns": "info"}
START = LogOrder(levels=INFO, then=INFO, until=0.0)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in COMPONENTS}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_a_change_for_good_stays() -> None:
    order = changed(START, {"dns": "debug"}, now=5.0, seconds=None)
    assert order == LogOrder(
        levels={"admin": "info", "dns": "debug"}, then={"admin": "info", "dns": "debug"}, until=0.0
    )


def test_a_change_for_a_while_is_taken_back() -> None:
    order = changed(START, {"dns": "debug"}, now=5.0, seconds=60.0)
    assert order["until"] == 65.0
    assert order["levels"]["dns"] == "debug"
    assert reverted(order) == START


def test_what_is_for_good_outlives_what_is_for_a_while() -> None:
    order = changed(START, {"dns": "debug"}, now=5.0, seconds=60.0)
    order = changed(order, {"admin": "error"}, now=6.0, seconds=None)
    assert order["until"] == 65.0
    assert reverted(order)["levels"] == {"admin": "error", "dns": "info"}


class Supervisor:
    """What it was told, as `Supervisor.orders` keeps it."""

    def __init__(self) -> None:
        self.orders: dict[str, Any] = {}
        self.told = trio.Event()

    async def send(self, message: dict[str, Any]) -> None:
        self.orders[message["name"]] = message["value"]
        self.told.set()


@run_trio
async def test_levels_are_set_told_and_taken_back() -> None:
    supervisor = Supervisor()
    standing = StandingOrders({}, "info", supervisor.send)
    assert set(standing.log_levels.values()) == {"info"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(standing.revert_log_levels)
        await standing.set_log_levels({"dns": "error"}, 0.01)
        assert logging.getLogger("dns").level == LEVELS["error"]
        assert supervisor.orders["log"]["levels"]["dns"] == "error"
        supervisor.told = trio.Event()
        await supervisor.told.wait()
        assert logging.getLogger("dns").level == LEVELS["info"]
        assert supervisor.orders["log"]["levels"]["dns"] == "info"
        nursery.cancel_scope.cancel()


@run_trio
async def test_a_successor_takes_back_what_its_predecessor_promised() -> None:
    supervisor = Supervisor()
    await StandingOrders({}, "info", supervisor.send).set_log_levels({"dns": "error"}, 0.01)
    successor = StandingOrders(dict(supervisor.orders), "info", supervisor.send)
    assert successor.log_levels["dns"] == "error"
    supervisor.told = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(successor.revert_log_levels)
        await supervisor.told.wait()
        nursery.cancel_scope.cancel()
    assert successor.log_levels["dns"] == "info"


@run_trio
async def test_other_orders_are_kept() -> None:
    supervisor = Supervisor()
    standing = StandingOrders({}, "info", supervisor.send)
    assert not standing.health_check_failed
    assert standing.drains == {}
    await standing.give("health_check_failed", True)
    assert standing.health_check_failed
    assert StandingOrders(dict(supervisor.orders), "info", supervisor.send).health_check_failed
