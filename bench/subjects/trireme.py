"""This proxy, as `proxyctl run` starts it, and its variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.configuration import bootstrap
from bench.figures import Unfit
from bench.load import Address
from bench.upstreams import Upstreams
from tests.kit.proxy import Proxy

_HERE = Path(__file__).resolve().parents[1]
_FILTERS = ("Look", "EditRequest", "EditResponse", "Time", "Count")
FILTERS = tuple(f"bench_filters.{name}" for name in _FILTERS)
HOOKS = tuple(f"bench_hooks.{name}" for name in _FILTERS)


class Trireme:
    """All of its processes count: supervisor, template, controller, workers."""

    def __init__(
        self,
        upstreams: Upstreams,
        *,
        filters: tuple[str, ...] = (),
        concurrency: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.proxy = Proxy(
            bootstrap(upstreams.ports, filters),
            concurrency=concurrency,
            arguments=("--filter-path", str(_HERE / "filters")) if filters else (),
            environment=environment,
        )
        self._addresses: dict[str, list[Address]] = self.proxy.listeners()

    def address(self, listener: str) -> Address:
        return self._addresses[listener][0]

    def pids(self) -> Sequence[int]:
        return [process.pid for process in self.proxy.members()]

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [process["pid"] for process in self.proxy.processes() if process["role"].startswith("worker")]

    def close(self) -> None:
        self.proxy.__exit__(None)


class WithoutStats(Trireme):
    """`without_stats/sitecustomize.py` is on the path of all its processes."""

    def __init__(self, upstreams: Upstreams) -> None:
        super().__init__(upstreams, environment={"PYTHONPATH": str(_HERE / "without_stats")})

    def pids(self) -> Sequence[int]:
        # Asked after every run: a counter that moves means that a write goes another way than the one that was removed.
        if count := self.proxy.stats().get("http.main.downstream_rq_total", 0):
            raise Unfit(f"the stats still count ({count} requests): bench/without_stats no longer reaches their writes")
        return super().pids()


def without_stats(upstreams: Upstreams) -> Trireme:
    return WithoutStats(upstreams)


def with_filters(upstreams: Upstreams) -> Trireme:
    return Trireme(upstreams, filters=FILTERS)


def with_hooks(upstreams: Upstreams) -> Trireme:
    return Trireme(upstreams, filters=HOOKS)


def with_two_workers(upstreams: Upstreams) -> Trireme:
    return Trireme(upstreams, concurrency=2)
