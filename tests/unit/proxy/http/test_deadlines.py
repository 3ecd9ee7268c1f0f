"""One scope, many phases: the earliest deadline ends the exchange, and gives its name to the reply."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from proxy.errors import Flag
from proxy.http.deadlines import NEVER, Deadlines, Phase


def run(seconds: float, *, idle: float = 0.0, arm: dict[Phase, float] | None = None, touch: float = 0.0) -> Deadlines:
    """Waits `seconds` with the phases of `arm`; touches every `touch` s."""
    deadlines: list[Deadlines] = []

    async def check() -> None:
        found = Deadlines(idle, trio.current_time())
        deadlines.append(found)
        end = trio.current_time() + seconds
        for phase, limit in (arm or {}).items():
            found.arm(phase, limit)
        with found.scope:
            while (left := end - trio.current_time()) > 1e-9:
                await trio.sleep(min(left, touch or left))
                found.touch()

    trio.run(check, clock=MockClock(autojump_threshold=0))
    return deadlines[0]


@pytest.mark.parametrize(
    ("arm", "idle", "phase", "status", "complete"),
    [
        ({Phase.ROUTE: 3.0, Phase.REQUEST: 4.0}, 9.0, Phase.ROUTE, 504, True),
        ({Phase.ROUTE: 5.0, Phase.REQUEST: 4.0}, 9.0, Phase.REQUEST, 408, False),
        ({Phase.REQUEST_HEADERS: 1.0, Phase.REQUEST: 4.0}, 9.0, Phase.REQUEST_HEADERS, 408, False),
        ({Phase.ROUTE: 5.0}, 2.0, Phase.STREAM_IDLE, 504, True),
        ({}, 2.0, Phase.STREAM_IDLE, 408, False),
    ],
)
def test_the_earliest_phase_names_the_reply(
    arm: dict[Phase, float], idle: float, phase: Phase, status: int, complete: bool
) -> None:
    deadlines = run(100.0, idle=idle, arm=arm)
    assert deadlines.scope.cancelled_caught

    async def later() -> None:
        assert deadlines.fired() is phase
        failure = deadlines.failure(request_complete=complete)
        assert failure is not None
        assert failure.status == status
        assert (failure.flag is Flag.STREAM_IDLE_TIMEOUT) == (phase is Phase.STREAM_IDLE)
        assert (failure.flag is Flag.UPSTREAM_REQUEST_TIMEOUT) == (phase is Phase.ROUTE)

    trio.run(later)


def test_bytes_restart_the_idle_phase_and_no_other() -> None:
    assert not run(100.0, idle=2.0, touch=1.0).scope.cancelled_caught
    assert run(100.0, idle=2.0, touch=3.0).scope.cancelled_caught
    assert run(100.0, idle=2.0, touch=1.0, arm={Phase.ROUTE: 50.0}).scope.cancelled_caught


def test_zero_is_no_limit() -> None:
    assert not run(1e6, arm=dict.fromkeys(Phase, 0.0)).scope.cancelled_caught


def test_a_phase_that_is_over_does_not_count() -> None:
    async def check() -> None:
        deadlines = Deadlines(0.0, trio.current_time())
        deadlines.arm(Phase.ROUTE, 5.0)
        assert deadlines.remaining(Phase.ROUTE) == pytest.approx(5.0)
        deadlines.disarm(Phase.ROUTE)
        deadlines.disarm(Phase.ROUTE)
        assert deadlines.remaining(Phase.ROUTE) == NEVER
        with deadlines.scope:
            await trio.sleep(10)
        assert deadlines.fired() is None
        assert deadlines.failure(request_complete=True) is None

    trio.run(check, clock=MockClock(autojump_threshold=0))


def test_a_client_that_has_gone_is_nobodys_timeout() -> None:
    async def check() -> None:
        deadlines = Deadlines(5.0, trio.current_time())
        with deadlines.scope:
            deadlines.client_gone()
            await trio.sleep(10)
        assert deadlines.fired() is None
        failure = deadlines.failure(request_complete=True)
        assert failure is not None
        assert failure.flag is Flag.DOWNSTREAM_CONNECTION_TERMINATION
        assert failure.status == 0

    trio.run(check, clock=MockClock(autojump_threshold=0))


def test_another_scopes_cancel_is_not_this_exchanges() -> None:
    async def check() -> None:
        deadlines = Deadlines(50.0, trio.current_time())
        with trio.move_on_after(1), deadlines.scope:
            await trio.sleep(10)
        assert deadlines.fired() is None
        assert deadlines.failure(request_complete=True) is None

    trio.run(check, clock=MockClock(autojump_threshold=0))
