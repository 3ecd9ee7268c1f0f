"""What a row of the tables of details says."""

from __future__ import annotations

from typing import NamedTuple

from master.explain.flags import Fault


class Detail(NamedTuple):
    """What happened, whose side it was on, what to look at next ("" leaves that to the flag), what decides it."""

    words: str
    fault: Fault
    look: str = ""
    settings: tuple[str, ...] = ()
