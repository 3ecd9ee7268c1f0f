"""The floor: `bench.bare`, which relays and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Unfit
from bench.load import Address
from bench.upstreams import Upstreams
from tests.kit.process import KitProcess


class Bare:
    """One process with one listener."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._process = KitProcess("bench.bare", [str(upstreams.origin)])
        self._port: int = self._process.read_json()["port"]

    def address(self, listener: str) -> Address:
        if listener != "main":
            raise Unfit("the prototype knows plain requests alone")
        return "127.0.0.1", self._port

    def pids(self) -> Sequence[int]:
        return [self._process.pid]

    def close(self) -> None:
        self._process.close()
