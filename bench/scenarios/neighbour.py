"""A well-behaved client beside attackers on other connections of the same worker: how long does it wait at most?"""

from __future__ import annotations

import subprocess
import sys
import time

from bench.figures import Sample, Unfit
from bench.requests import get
from bench.scenarios.effort import Effort
from bench.subjects import Subject
from tests.kit.client import Connection
from tests.kit.h2_attacks import FLOODS, Attack
from tests.kit.process import ROOT

_ALONE = "nobody"
_REQUEST = get("small")


class Neighbour:
    """One request after the other on a connection of HTTP/1, while each of `FLOODS` is carried out, again and again, by
    a process of its own; and first with nobody there.
    """

    def warm_up(self, subject: Subject) -> None:
        with Connection(subject.address("attacked")) as connection:
            _ask(connection)

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        waits = {attack.name: _beside(subject, attack, effort.seconds) for attack in FLOODS}
        alone = _beside(subject, None, effort.seconds)
        return {"neighbour": max(waits.values()), f"beside {_ALONE}": alone, **_named(waits)}


def _named(waits: dict[str, float]) -> Sample:
    return {f"beside {name}": wait for name, wait in waits.items()}


def _beside(subject: Subject, attack: Attack | None, seconds: float) -> float:
    """The longest time of a request, in ms."""
    host, port = subject.address("attacked")
    with Connection((host, port)) as connection:
        _ask(connection)
        command = [sys.executable, "-m", "tests.kit.h2_attacks", attack.name, host, str(port)] if attack else ["cat"]
        attacker = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # why: `load.run`
        )
        with attacker:
            assert attacker.stdin is not None
            assert attacker.stdout is not None
            if attack:
                attacker.stdout.readline()  # it begins
            longest, end = 0.0, time.monotonic() + seconds
            while time.monotonic() < end:
                longest = max(longest, _ask(connection))
            attacker.stdin.close()
    if attacker.returncode:
        raise Unfit(f"the attacker ended with {attacker.returncode}: {attack}")
    return longest * 1e3


def _ask(connection: Connection) -> float:
    began = time.monotonic()
    status = connection.request(_REQUEST).status
    if status != 200:
        raise Unfit(f"the neighbour was answered with status {status}")
    return time.monotonic() - began
