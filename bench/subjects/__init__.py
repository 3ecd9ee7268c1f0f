"""What is measured: each proxy, started once, on demand, on the proxy's core.

`STARTERS` is the table of them. A subject that cannot run here says why (`Unfit`), and its column repeats it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench import machine
from bench.figures import Unfit
from bench.load import Address
from bench.subjects import bare, envoy, haproxy, many_clusters, nginx, trireme
from bench.upstreams import Upstreams


class Subject(Protocol):
    """A running proxy. Listeners are those of `bench.configuration`."""

    def address(self, listener: str) -> Address:
        """Raises Unfit if it has no such listener."""
        ...

    def pids(self) -> Sequence[int]:
        """All processes that belong to it."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Starter:
    """How a subject starts, and on how many cores."""

    start: Callable[[Upstreams], Subject]
    cores: int = 1


STARTERS = {
    "trireme": Starter(trireme.Trireme),
    "envoy": Starter(envoy.EnvoySubject),
    "haproxy": Starter(haproxy.HAProxy),
    "nginx": Starter(nginx.NginxSubject),
    "bare": Starter(bare.Bare),
    "no-stats": Starter(trireme.without_stats),
    "5-filters": Starter(trireme.with_filters),
    "5-hooks": Starter(trireme.with_hooks),
    "trireme-2": Starter(trireme.with_two_workers, cores=2),
    "envoy-2": Starter(envoy.with_two_workers, cores=2),
    "trireme-json": Starter(many_clusters.from_json, cores=2),
    "trireme-yaml": Starter(many_clusters.from_yaml, cores=2),
    "envoy-json": Starter(many_clusters.of_envoy, cores=2),
}


class Subjects:
    """Those that run at the moment, by name."""

    def __init__(self, upstreams: Upstreams, cores: machine.Cores) -> None:
        self._upstreams = upstreams
        self._cores = cores
        self._running: dict[str, Subject] = {}
        self._absent: dict[str, str] = {}

    def get(self, name: str) -> Subject:
        """The running subject; raises Unfit, with the same reason each time, if it cannot run."""
        if name in self._absent:
            raise Unfit(self._absent[name])
        if name not in self._running:
            starter = STARTERS[name]
            try:
                with machine.on(self._cores.proxies(starter.cores)):
                    self._running[name] = starter.start(self._upstreams)
            except (Unfit, AssertionError, OSError) as error:
                notes = " ".join(getattr(error, "__notes__", []))
                self._absent[name] = f"{error} {notes}".strip()
                raise Unfit(self._absent[name]) from error
        return self._running[name]

    def keep(self, names: Collection[str]) -> None:
        """Ends the others: even an idle proxy takes time from the one that is measured."""
        for name in [name for name in self._running if name not in names]:
            self.end(name)

    def end(self, name: str) -> None:
        """Ends one, if it runs; whoever asks for it next gets a new one."""
        if name in self._running:
            with contextlib.suppress(AssertionError):  # it had to be killed, or left something: no figure depends on it
                self._running.pop(name).close()
