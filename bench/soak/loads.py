"""What is sent all the time. `LOADS` is the table of it: paced, so that the machine has time for what is tried out.

A subject has two places at least: `web`, an HTTP listener, and `tcp`, a TCP proxy, both before the same origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.kit.client import Address
from tests.kit.load import Mode, Part


@dataclass(frozen=True)
class Kind:
    """`connections` of a mode of `tests.kit.load`, with `pause` s after each request."""

    name: str
    mode: Mode
    connections: int
    pause: float
    place: str = "web"


LOADS = (
    Kind("new connections", "new", 6, 0.06),
    Kind("keep-alive", "keep-alive", 10, 0.06),
    Kind("mostly idle", "keep-alive", 16, 1.5),
    Kind("pipelined bursts", "pipelined", 4, 0.25),
    Kind("slow downloads", "download", 6, 0.2),
    Kind("slow uploads", "upload", 6, 0.2),
    Kind("TCP streams", "tcp", 8, 0.2, place="tcp"),
    Kind("WebSockets", "websocket", 8, 0.2),
)


def parts(places: Mapping[str, Address], patience: float) -> list[Part]:
    """All of them, in the order of `LOADS`. A request that has taken `patience` s without a sign has failed."""
    return [Part(places[kind.place], kind.mode, kind.connections, pause=kind.pause, timeout=patience) for kind in LOADS]
