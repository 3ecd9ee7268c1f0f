"""What happens to a subject while it is under load."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.soak.owners import Kill
from tests.kit.load import Loads

S = TypeVar("S")


@dataclass(frozen=True)
class Scene(Generic[S]):
    """What an operation has at hand: whom it is done to, the load that runs, and a seeded generator for its choices."""

    subject: S
    loads: Loads
    dice: random.Random


@dataclass(frozen=True)
class Operation(Generic[S]):
    """`perform` returns whom it killed, and once the subject is whole again. It raises `Unavailable` where there is
    no such operation, and `AssertionError` where it goes wrong.

    It takes place `times` times in every `every`th round, beginning with round `first` (counted from 0).
    """

    name: str
    perform: Callable[[Scene[S]], Sequence[Kill]]
    times: int = 1
    every: int = 1
    first: int = 0

    def in_round(self, number: int) -> int:
        """How often it takes place in this round."""
        return self.times if number % self.every == self.first else 0
