"""What comes first: a rotation of secrets makes way for whatever somebody has asked for."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.supervisor.history import History
from master.supervisor.preflight import Running
from master.supervisor.reload import EXIT_FAILED, EXIT_REJECTED, Reload, Request
from master.supervisor.reload_sequence import Action, Event, Failed, Phase
from master.supervisor.supervisor import Supervisor
from shm import memfd

ROTATION = Request("rotation", rotate=True)


class Stepped(Reload):
    """Its actions are only written down; the test says how they end."""

    def __init__(self) -> None:
        supervisor = SimpleNamespace(
            history=History(),
            restart=SimpleNamespace(busy=False),
            state="LIVE",
            stopping=False,
            serving=SimpleNamespace(workforce=SimpleNamespace(changing=False)),
            systemd=SimpleNamespace(reloading=self._told, reloaded=self._told),
            leader=SimpleNamespace(tell=self._told),
        )
        super().__init__(cast(Supervisor, supervisor))
        self.actions: list[Action] = []
        self.told: list[dict[str, Any]] = []

    def _told(self, *_: Any, **__: Any) -> None:
        """Nobody listens."""

    def _do(self, actions: tuple[Action, ...]) -> None:
        self.actions += actions

    def tell(self) -> None:
        self.told.append(self.status())

    def apply(self) -> None:
        for event in (Event.COMPILED, Event.SETTLED, Event.PLACED, Event.PREPARED):
            self.on(event)


def test_a_reload_takes_the_place_of_a_rotation_that_has_changed_nothing() -> None:
    reload = Stepped()
    assert reload.ask(ROTATION) is None
    assert reload.ask(Request()) is None
    assert reload.actions == [Action.COMPILE, Action.DROP, Action.COMPILE]
    assert all(not status["rotation"] for status in reload.told[1:])  # nobody takes it for a rotation that has failed
    assert reload.status()["rotation"] == {}
    assert reload.status()["why"] == "reload"


def test_a_reload_waits_for_a_rotation_that_is_being_applied() -> None:
    reload = Stepped()
    reload.ask(ROTATION)
    reload.apply()
    assert reload.ask(Request("reload")) is None
    assert reload.progress.phase == Phase.APPLYING
    assert "in progress" in (reload.ask(Request("rollback")) or "")  # one waits already
    reload.on(Event.APPLIED)
    assert (reload.progress.phase, reload.status()["why"]) == (Phase.COMPILING, "reload")


def test_a_reload_that_waits_has_not_ended() -> None:
    reload = Stepped()
    reload.ask(Request("yesterday's"))
    reload.on(Failed(3, "a typing error"))
    reload.ask(ROTATION)
    reload.apply()
    assert reload.status()["reason"] == "a typing error"
    told = len(reload.told)
    reload.ask(Request("reload"))
    reload.on(Event.APPLIED)
    assert len(reload.told) > told
    for status in reload.told[told:]:
        assert (status["phase"], status["why"], status["exit_code"], status["reason"]) == ("compiling", "reload", 0, "")


def test_a_reload_that_has_waited_in_vain_has_failed() -> None:
    reload = Stepped()
    reload.ask(ROTATION)
    reload.apply()
    reload.ask(Request("reload"))
    reload._supervisor.serving.workforce.changing = True
    reload.on(Event.APPLIED)
    for status in (reload.told[-1], reload.status()):
        assert (status["phase"], status["why"], status["outcome"]) == ("idle", "reload", "failed")
        assert status["exit_code"] == EXIT_REJECTED
        assert "number of workers" in status["reason"]
        assert (status["rotation"]["why"], status["rotation"]["outcome"]) == ("rotation", "done")


def test_a_rotation_makes_way_for_nobody_while_it_is_applied() -> None:
    reload = Stepped()
    assert reload.make_way()
    reload.ask(ROTATION)
    assert reload.make_way()
    reload.ask(ROTATION)
    reload.apply()
    assert not reload.make_way()


def test_a_rotation_does_not_disturb_a_reload() -> None:
    reload = Stepped()
    reload.ask(Request())
    assert not reload.make_way()
    assert "in progress" in (reload.ask(ROTATION) or "")
    reload.on(Event.UNCHANGED)
    reload.ask(ROTATION)
    reload.on(Event.UNCHANGED)
    status = reload.status()
    assert (status["why"], status["outcome"]) == ("reload", "unchanged")
    assert (status["rotation"]["why"], status["rotation"]["phase"]) == ("rotation", "idle")


def test_the_end_of_a_preflight_that_was_given_up_is_not_that_of_the_next_one() -> None:
    reload = Stepped()
    reload.ask(ROTATION)
    given_up, wanted = (Running(cast(Any, None), memfd.create("test", 0)) for _ in range(2))
    reload.ask(Request())
    reload._compiling = wanted
    reload._compiled(given_up, memfd.create("test", 0), signal.SIGKILL)
    assert reload._compiling is wanted
    reload._compiled(wanted, memfd.create("test", 0), 3 << 8)
    assert (reload.progress.outcome, reload.progress.exit_code) == ("failed", 3)


def test_what_cannot_be_read_of_a_preflight_that_was_given_up_is_nobodys_failure() -> None:
    reload = Stepped()
    reload.ask(Request())
    given_up, wanted = (Running(cast(Any, None), memfd.create("test", 0)) for _ in range(2))
    for running in (given_up, wanted):
        os.write(running.fd, bytes(8))
    reload._compiling = wanted
    reload._compiled(given_up, memfd.create("test", 0), 0)
    assert reload.progress.phase == Phase.COMPILING
    reload._compiled(wanted, memfd.create("test", 0), 0)
    assert (reload.progress.outcome, reload.progress.exit_code) == ("failed", EXIT_FAILED)
    for running in (given_up, wanted):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(running.fd)
