"""Who has gone is found in one poll; who is there, young, or finished is left alone."""

from __future__ import annotations

import socket

import trio
from trio.testing import MockClock

from proxy.http.deadlines import Deadlines
from proxy.http.disconnects import DisconnectWatch
from proxy.limits import DISCONNECT_CHECK


def test_only_old_exchanges_whose_client_has_gone_are_ended() -> None:
    async def check() -> None:
        watch = DisconnectWatch()
        pairs = {name: socket.socketpair() for name in ("here", "half", "gone", "hidden", "young", "over")}
        begun = trio.current_time()
        exchanges = {name: Deadlines(0.0, begun + (0.5 if name == "young" else 0.0)) for name in pairs}
        for name, (ours, _) in pairs.items():
            watch.add(ours.fileno(), exchanges[name])
        pairs["half"][1].shutdown(socket.SHUT_WR)
        pairs["gone"][1].close()
        pairs["hidden"][1].send(b"pipelined")
        for name in ("hidden", "young", "over"):
            pairs[name][1].close()
        watch.discard(pairs["over"][0].fileno())
        watch.check(begun + DISCONNECT_CHECK)
        ended = {name for name, deadlines in exchanges.items() if deadlines.scope.cancel_called}
        assert ended == {"half", "gone", "hidden"}
        for ours, theirs in pairs.values():
            ours.close()
            theirs.close()

    trio.run(check)


def test_behind_the_first_young_exchange_none_is_looked_at() -> None:
    class Unseen(Deadlines):
        @property
        def started(self) -> float:  # type: ignore[override]
            raise AssertionError("looked at")

        @started.setter
        def started(self, _: float) -> None: ...

    async def check() -> None:
        watch, begun = DisconnectWatch(), trio.current_time()
        pairs = [socket.socketpair() for _ in range(3)]
        old = Deadlines(0.0, begun)
        for (ours, theirs), deadlines in zip(
            pairs, (old, Deadlines(0.0, begun + 0.5), Unseen(0.0, begun)), strict=True
        ):
            watch.add(ours.fileno(), deadlines)
            theirs.close()
        watch.check(begun + DISCONNECT_CHECK)
        assert old.scope.cancel_called
        for ours, _ in pairs:
            ours.close()

    trio.run(check)


def test_it_looks_every_second() -> None:
    async def check() -> None:
        watch = DisconnectWatch()
        ours, theirs = socket.socketpair()
        deadlines = Deadlines(0.0, trio.current_time())
        theirs.close()
        watch.add(ours.fileno(), deadlines)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            with deadlines.scope:
                await trio.sleep(100)
            assert trio.current_time() - deadlines.started == DISCONNECT_CHECK
            nursery.cancel_scope.cancel()
        ours.close()

    trio.run(check, clock=MockClock(autojump_threshold=0))
