"""Which connection serves which request: the decisions of one host's pool, without any I/O.

* A free connection is given out most recently freed first, so that the others may reach their idle timeout.
* Whatever happens to one of them costs the same however many there are.
* Without one, a request opens its own connection if the breaker lets it, else it waits in order of arrival.
* Somebody waits only while a connection exists, whose end or release serves the first waiter; so nobody waits forever.
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Literal, TypeVar

from proxy.errors import ProxyError
from proxy.upstream.circuit_breaker import CircuitBreaker

C = TypeVar("C")


class Permit(enum.Enum):
    """Grants a waiter the right to open a connection; the claim for it is already made."""

    OPEN = enum.auto()


OPEN: Final = Permit.OPEN


class Waiter(Generic[C]):
    """A request that waits. `grant` is set once, then `wake` is called."""

    __slots__ = ("grant", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.grant: C | Literal[Permit.OPEN] | ProxyError | None = None


class PoolCore(Generic[C]):
    """The connections of one host, in this worker. C is the connection type; the core never looks into one."""

    __slots__ = ("_breaker", "_waiters", "idle", "opened")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._waiters: deque[Waiter[C]] = deque()  # bounded by the breaker's max_pending_requests
        self.idle: dict[C, None] = {}  # most recently freed last
        self.opened = 0  # connections that are open or being opened

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def take_idle(self) -> C | None:
        """The connection that was freed last, or None. The caller still has to see whether it is alive."""
        return self.idle.popitem()[0] if self.idle else None

    def take_oldest(self, unwanted: Callable[[C], bool]) -> list[C]:
        """The longest idle ones as long as they are `unwanted`; one that is wanted is the last to be looked at."""
        oldest = list(itertools.takewhile(unwanted, self.idle))
        for connection in oldest:
            del self.idle[connection]
        return oldest

    def may_open(self) -> bool:
        """Claim a new connection; the caller must open it, and call `gone` when it ends or could not be opened."""
        if not self._breaker.claim_connection(force=self.opened == 0):
            return False
        self.opened += 1
        return True

    def wait(self, wake: Callable[[], None]) -> Waiter[C]:
        """Queue for whatever comes first: a freed connection, the right to open one, or the pool's failure."""
        waiter: Waiter[C] = Waiter(wake)
        self._waiters.append(waiter)
        return waiter

    def put(self, connection: C) -> None:
        """A connection is free: the first waiter gets it, else it is idle."""
        if self._waiters:
            self._settle(connection)
        else:
            self.idle[connection] = None

    def gone(self) -> None:
        """A connection ended, or was never opened. The first waiter may open another if the breaker lets it."""
        self.opened -= 1
        self._breaker.release_connection()
        if self._waiters and self.may_open():
            self._settle(OPEN)

    def fail_waiters(self, error: Callable[[], ProxyError]) -> int:
        """The host refused a connection: everybody who waits fails with it, as in Envoy. Returns how many."""
        failed = len(self._waiters)
        while self._waiters:
            self._settle(error())
        return failed

    def withdraw(self, waiter: Waiter[C]) -> None:
        """A waiter was cancelled. What it may have been granted meanwhile goes on to the next one."""
        grant = waiter.grant
        if grant is None:
            self._waiters.remove(waiter)
        elif grant is OPEN:
            self.gone()
        elif not isinstance(grant, ProxyError):
            self.put(grant)

    def _settle(self, grant: C | Literal[Permit.OPEN] | ProxyError) -> None:
        waiter = self._waiters.popleft()
        waiter.grant = grant
        waiter.wake()
