"""Attempts beside each other (`HedgePolicy.hedge_on_per_try_timeout`): one that takes longer than a try may goes on
while the next one goes out, and the client gets the first good response head.

The attempts are tasks of one nursery. None writes to the client, or reads from it, but the one that has won; by the
time that there are two, the request's body is here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.retries import Retries
from proxy.filters.router.upstream_request import UpstreamRequest
from proxy.http.headers import Headers
from proxy.upstream import failures
from proxy.upstream.judge import Verdict
from proxy.upstream.pool import Pool

OUTLIVED = frozenset(
    {
        Flag.UPSTREAM_CONNECTION_FAILURE,
        Flag.UPSTREAM_CONNECTION_TERMINATION,
        Flag.UPSTREAM_REMOTE_RESET,
        Flag.UPSTREAM_PROTOCOL_ERROR,
        Flag.UPSTREAM_OVERFLOW,
    }
)
"""What ends one attempt and leaves the others: Envoy's stream resets. All else ends the request."""


async def run(forwarding: Forwarding, retries: Retries) -> None:
    """Forward with `retries`, of which several may run at once. Raises `ProxyError`."""
    race = _Race(forwarding, retries)
    try:
        async with trio.open_nursery() as nursery:
            race.begin(nursery)
    finally:
        retries.release()
    if race.failure is not None:
        raise race.failure


class _Race:
    """`failure` is what the request ended by, None for a response. `runners` have no response head yet; `waiting`: one
    more is about to run.
    """

    def __init__(self, forwarding: Forwarding, retries: Retries) -> None:
        terms = forwarding.terms
        self._forwarding = forwarding
        self._patience = min(filter(None, (terms.per_try_timeout, terms.per_try_idle_timeout)), default=0.0)
        self._scopes: set[trio.CancelScope] = set()
        self.retries = retries
        self.runners: set[_Runner] = set()
        self.waiting = False
        self.failure: Exception | None = None

    def begin(self, nursery: trio.Nursery) -> None:
        """The first attempt."""
        self._nursery = nursery
        self._start(None)

    def again(self, *, after_timeout: bool) -> None:
        """Another attempt goes out once its time has come."""
        self._beside(self._again, after_timeout)

    def watch(self, runner: _Runner, since: float) -> None:
        """The time of a try of `runner` runs, since `since`."""
        if self._patience:
            self._beside(self._watch, runner, since + self._patience)

    def won(self, winner: _Runner) -> None:
        """The others are no longer needed."""
        self.retries.give_up()
        self.waiting = False
        self.runners.discard(winner)
        for runner in self.runners:
            runner.request.beaten = True
        self.runners.clear()
        for scope in self._scopes - {winner.scope}:
            scope.cancel()
        winner.request.tell()

    def _start(self, pool: Pool | None) -> None:
        runner = _Runner(self)
        runner.request = UpstreamRequest(self._forwarding, self.retries.body.reader(), runner, runner.sent)
        self.runners.add(runner)
        self._scopes.add(runner.scope)
        self._nursery.start_soon(self._run, runner, pool)

    def _beside(self, wait: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run what a winner ends."""
        scope = trio.CancelScope()
        self._scopes.add(scope)

        async def run() -> None:
            with scope:
                await wait(*arguments)
            self._scopes.discard(scope)

        self._nursery.start_soon(run)

    async def _run(self, runner: _Runner, pool: Pool | None) -> None:
        try:
            with runner.scope:
                await runner.request.run(pool)
        except ProxyError as error:
            self._ended(runner, error)
        except Exception as error:
            self._fail(error)
        finally:
            self._scopes.discard(runner.scope)

    def _ended(self, runner: _Runner, error: ProxyError) -> None:
        self.runners.discard(runner)
        if runner.request.beaten or runner.verdict is Verdict.PASS_OVER:
            return
        if runner.verdict is Verdict.RETRY:
            self.again(after_timeout=False)
        elif runner.verdict is Verdict.DELIVER or error.flag not in OUTLIVED:
            self._fail(error)
        elif not (self.runners or self.waiting):
            if self._forwarding.exchange.info.upstream_attempts > 1:
                failures.tell_as_retried(error)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._nursery.cancel_scope.cancel()

    async def _again(self, after_timeout: bool) -> None:
        await trio.sleep(self.retries.wait or 0.0)
        self.waiting = False
        self._start(self.retries.next_pool(after_timeout=after_timeout))

    async def _watch(self, runner: _Runner, until: float) -> None:
        await trio.sleep_until(until)
        if runner not in self.runners or runner.succeeded:
            return
        runner.request.tell_timeout()
        if self.retries.hedge():
            runner.succeeded = self.waiting = True
            self.again(after_timeout=True)


class _Runner:
    """One attempt, and the `Judge` of what comes of it. `succeeded`: another attempt follows it already, so that it is
    not retried once more. `verdict` is what became of it, None as long as it runs, or if it was reset.
    """

    __slots__ = ("_race", "request", "scope", "succeeded", "verdict")

    request: UpstreamRequest

    def __init__(self, race: _Race) -> None:
        self._race = race
        self.scope = trio.CancelScope()
        self.succeeded = False
        self.verdict: Verdict | None = None

    def sent(self, since: float) -> None:
        """The request went out."""
        self._race.watch(self, since)

    def response(self, status: int, headers: Headers) -> Verdict:
        self.verdict = self._judged(status, headers)
        self._race.runners.discard(self)
        if self.verdict is Verdict.DELIVER:
            self._race.won(self)
        return self.verdict

    def informational(self) -> None:
        if self.request.beaten:
            return
        self.verdict = Verdict.DELIVER
        self._race.won(self)

    def reset(self, error: ProxyError, *, request_started: bool) -> bool:
        race = self._race
        race.runners.discard(self)
        if self.request.beaten:  # nobody's failure any more
            return True
        if self.succeeded or not race.retries.reset(error, request_started=request_started):
            return False
        self.verdict, race.waiting = Verdict.RETRY, True
        return True

    def _judged(self, status: int, headers: Headers) -> Verdict:
        race, retries = self._race, self._race.retries
        if self.verdict is Verdict.DELIVER:  # since its 1xx
            return Verdict.DELIVER
        if self.request.beaten:
            return Verdict.PASS_OVER
        if self.succeeded:
            hopeless = retries.would(status, headers)
        elif retries.response(status, headers) is Verdict.RETRY:
            race.waiting = True
            return Verdict.RETRY
        else:
            hopeless = retries.refused
        others = race.waiting or race.runners - {self}
        return Verdict.PASS_OVER if hopeless and others else Verdict.DELIVER
