"""Running async tests: a decorator that needs no pytest plug-in."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, overload

import trio
from trio.testing import MockClock

AsyncTest = Callable[..., Awaitable[None]]
DEADLINE = 60.0


@overload
def run_trio(test: AsyncTest) -> Callable[..., None]: ...
@overload
def run_trio(*, virtual_time: bool = ..., deadline: float = ...) -> Callable[[AsyncTest], Callable[..., None]]: ...
def run_trio(
    test: AsyncTest | None = None, *, virtual_time: bool = False, deadline: float = DEADLINE
) -> Callable[..., Any]:
    """Makes a synchronous test of an async one: `@run_trio` or `@run_trio(virtual_time=True)`.

    With `virtual_time` the clock jumps to the next deadline whenever all tasks wait (a `MockClock` that autojumps), so
    timeouts cost nothing; use it only where no task waits for a real socket or process. After `deadline` seconds of the
    test's clock it fails with `trio.TooSlowError`. Fixtures and parameters reach the test as usual.
    """

    def decorate(test: AsyncTest) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            async def bounded() -> None:
                with trio.fail_after(deadline):
                    await test(*args, **kwargs)

            if virtual_time:
                trio.run(bounded, clock=MockClock(autojump_threshold=0))
            else:
                trio.run(bounded)

        return run

    return decorate if test is None else decorate(test)
