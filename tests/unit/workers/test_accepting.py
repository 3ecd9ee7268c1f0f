"""Who polls which socket: always somebody, and alone while all are well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shm.processes import ProcessInfo, Role, State
from workers.accepting import FOSTER_AFTER_NS, healthy_indexes, indexes_to_poll

NOW = 10**12


def process(index: int, *, silent_ns: int = 0, state: State = State.SERVING, generation: int = 1) -> ProcessInfo:
    empty = ProcessInfo(*(0 for _ in ProcessInfo._fields))
    return empty._replace(
        role=Role.WORKER, index=index, generation=generation, state=state, heartbeat_ns=NOW - silent_ns
    )


def test_healthy_are_serving_fresh_and_of_this_generation() -> None:
    processes = [
        process(0),
        process(1, silent_ns=FOSTER_AFTER_NS),
        process(2, state=State.STARTING),
        process(3, state=State.DRAINING),
        process(4, generation=2),
        process(5)._replace(role=Role.CONTROLLER),
    ]
    assert healthy_indexes(processes, generation=1, now_ns=NOW) == {0}


def test_fewer_workers_inherit_the_sockets_of_those_who_left() -> None:
    assert indexes_to_poll(0, count=2, listening=5, healthy={0, 1}) == {0, 2, 4}
    assert indexes_to_poll(1, count=2, listening=5, healthy={0, 1}) == {1, 3}


@given(st.integers(1, 12), st.integers(1, 40), st.data())
def test_every_socket_is_polled_and_by_its_owner_alone_when_healthy(
    count: int, listening: int, data: st.DataObject
) -> None:
    healthy = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    polled = {me: indexes_to_poll(me, count=count, listening=listening, healthy=healthy) for me in healthy}
    for index in range(listening):
        pollers = {me for me, indexes in polled.items() if index in indexes}
        owner = index % count
        assert pollers == ({owner} if owner in healthy else healthy)
