"""How a lookup ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One address, numeric. `ttl` in seconds; 0 where none is known (hosts file, localhost, numeric names)."""

    address: str
    ttl: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """The name was looked up. No answers: the servers say that there is no such name or no such record."""

    answers: tuple[Answer, ...] = ()


class Failure(enum.Enum):
    """Why a lookup gave no verdict on the name."""

    TIMEOUT = "no server answered in time"
    SERVER_FAILURE = "the servers failed or refused"
    BAD_NAME = "not a domain name"


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing is known about the name now; what was known before still holds."""

    failure: Failure
    detail: str = ""


Result = Resolved | Failed
