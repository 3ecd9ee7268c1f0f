"""The pool's decisions, under every order of events."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.config.cluster import CircuitBreaker as Limits
from proxy.errors import ProxyError
from proxy.stats import MemoryStats
from proxy.upstream import failures
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.pool_core import OPEN, PoolCore, Waiter
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import ClusterColumn, MemoryTable


def breaker(table: MemoryTable, limits: Limits) -> CircuitBreaker:
    return CircuitBreaker(limits, table, 0, ClusterStats(MemoryStats(), "c"))


def core(max_connections: int = 2) -> PoolCore[str]:
    return PoolCore(breaker(MemoryTable(), Limits(max_connections=max_connections)))


class Woken:
    """Waiters in the order in which they were woken."""

    def __init__(self, pool: PoolCore[str]) -> None:
        self.pool = pool
        self.order: list[str] = []

    def wait(self, name: str) -> Waiter[str]:
        return self.pool.wait(lambda: self.order.append(name))


def test_the_most_recently_freed_connection_goes_first() -> None:
    pool = core()
    for name in ("a", "b"):
        assert pool.may_open()
        pool.put(name)
    assert [pool.take_idle(), pool.take_idle(), pool.take_idle()] == ["b", "a", None]


def test_waiters_are_served_in_order() -> None:
    pool = core(1)
    woken = Woken(pool)
    assert pool.may_open()
    assert not pool.may_open()
    first, second, third = (woken.wait(name) for name in "123")
    pool.put("a")
    pool.gone()
    assert (first.grant, second.grant, third.grant) == ("a", OPEN, None)
    assert woken.order == ["1", "2"]


def test_an_empty_pool_gets_one_connection_beyond_the_limit() -> None:
    pool = core(0)
    assert pool.may_open()
    assert not pool.may_open()
    pool.gone()
    assert pool.may_open()


def test_what_a_cancelled_waiter_was_granted_goes_on() -> None:
    pool = core(1)
    woken = Woken(pool)
    assert pool.may_open()
    first, second, third = (woken.wait(name) for name in "123")
    pool.put("a")
    pool.withdraw(first)
    assert second.grant == "a"
    pool.gone()
    assert third.grant is OPEN
    pool.withdraw(third)
    assert pool.opened == 0


def test_one_refused_connection_fails_everybody_who_waits() -> None:
    pool = core(1)
    woken = Woken(pool)
    assert pool.may_open()
    waiters = [woken.wait(name) for name in "12"]
    assert pool.fail_waiters(lambda: failures.reset("connection timeout")) == 2
    assert all(isinstance(waiter.grant, ProxyError) for waiter in waiters)
    for waiter in waiters:
        pool.withdraw(waiter)
    assert (pool.waiting, pool.opened) == (0, 1)


class PoolMachine(RuleBasedStateMachine):
    """Requests come, are cancelled, end well or badly; connections open, fail, die. Another worker takes its share."""

    def __init__(self) -> None:
        super().__init__()
        self.table = MemoryTable()
        self.limit = 3
        self.pool: PoolCore[int] = PoolCore(breaker(self.table, Limits(max_connections=self.limit)))
        self.serial = 0
        self.others = 0
        self.opening = 0
        self.busy: list[int] = []
        self.waiters: list[Waiter[int]] = []

    def collect(self) -> None:
        """Waiters that were served do what they were granted."""
        for waiter in [waiter for waiter in self.waiters if waiter.grant is not None]:
            self.waiters.remove(waiter)
            if waiter.grant is OPEN:
                self.opening += 1
            elif isinstance(waiter.grant, int):
                self.busy.append(waiter.grant)

    @rule(cancelled_at_once=st.booleans())
    def request(self, cancelled_at_once: bool) -> None:
        idle = list(self.pool.idle)
        connection = self.pool.take_idle()
        if connection is not None:
            assert connection == idle[-1]
            self.busy.append(connection)
        elif self.pool.may_open():
            self.opening += 1
        else:
            waiter = self.pool.wait(lambda: None)
            self.waiters.append(waiter)
            if cancelled_at_once:
                self.waiters.remove(waiter)
                self.pool.withdraw(waiter)

    @precondition(lambda self: self.opening)
    @rule()
    def opened(self) -> None:
        self.opening -= 1
        self.serial += 1
        self.busy.append(self.serial)

    @precondition(lambda self: self.opening)
    @rule(refused=st.booleans())
    def not_opened(self, refused: bool) -> None:
        self.opening -= 1
        if refused:
            self.pool.fail_waiters(lambda: failures.reset("connection timeout"))
        self.pool.gone()
        self.collect()

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), well=st.booleans())
    def ends(self, data: st.DataObject, well: bool) -> None:
        connection = data.draw(st.sampled_from(self.busy))
        self.busy.remove(connection)
        if well:
            self.pool.put(connection)
        else:
            self.pool.gone()
        self.collect()

    @precondition(lambda self: self.pool.idle)
    @rule(data=st.data())
    def reaped(self, data: st.DataObject) -> None:
        """The peer ends an idle connection."""
        del self.pool.idle[data.draw(st.sampled_from(list(self.pool.idle)))]
        self.pool.gone()
        self.collect()

    @precondition(lambda self: self.pool.idle)
    @rule(data=st.data())
    def expired(self, data: st.DataObject) -> None:
        """Some reach their idle timeout: those that have been idle for longest, and only they are looked at."""
        idle = list(self.pool.idle)
        expired = idle[: data.draw(st.integers(0, len(idle)))]
        looked_at: list[int] = []

        def unwanted(connection: int) -> bool:
            looked_at.append(connection)
            return connection in expired

        assert self.pool.take_oldest(unwanted) == expired
        assert looked_at == idle[: len(expired) + 1]
        for _ in expired:
            self.pool.gone()
        self.collect()

    @precondition(lambda self: self.waiters)
    @rule(data=st.data(), event=st.sampled_from(["none", "put", "gone"]))
    def cancelled(self, data: st.DataObject, event: str) -> None:
        """A waiter is cancelled, perhaps just after it was served and before it ran."""
        if self.busy and event == "put":
            self.pool.put(self.busy.pop())
        elif self.busy and event == "gone":
            self.busy.pop()
            self.pool.gone()
        waiter = data.draw(st.sampled_from(self.waiters))
        self.waiters.remove(waiter)
        self.pool.withdraw(waiter)
        self.collect()

    @precondition(lambda self: self.others < 5)
    @rule()
    def another_worker_connects(self) -> None:
        self.others += self.table.claim(0, ClusterColumn.CONNECTIONS, self.limit)

    @precondition(lambda self: self.others)
    @rule()
    def another_worker_disconnects(self) -> None:
        self.others -= 1
        self.table.release(0, ClusterColumn.CONNECTIONS)

    @invariant()
    def every_connection_is_claimed(self) -> None:
        assert self.pool.opened == self.opening + len(self.busy) + len(self.pool.idle)
        assert self.table.total(0, ClusterColumn.CONNECTIONS) == self.pool.opened + self.others

    @invariant()
    def only_an_empty_pool_goes_beyond_the_limit(self) -> None:
        assert self.table.total(0, ClusterColumn.CONNECTIONS) <= max(self.limit, self.others + 1)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        assert self.pool.waiting == len(self.waiters)
        if self.waiters:
            assert not self.pool.idle
            assert self.opening or self.busy

    def teardown(self) -> None:
        while self.opening or self.busy or self.pool.idle:
            if self.busy:
                self.busy.pop()
            elif self.pool.idle:
                self.pool.idle.popitem()
            else:
                self.opening -= 1
            self.pool.gone()
            self.collect()
        assert self.pool.waiting == self.pool.opened == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=200, stateful_step_count=40)
