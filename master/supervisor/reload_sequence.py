"""A reload of the configuration, step by step. Pure: events go in, the next state and what is to be done come out.

::

    idle → compiling → settling → placing → preparing → applying → idle
               │           │          │         │ until here a failure leaves everything as it was
               └───────────┴──────────┴─────────┴→ idle

`settling` waits until no closed listener's queue is being emptied. `placing` ends when the new addresses are bound and
the controller knows the new hosts, `preparing` when every worker has built the new listeners and clusters beside those
that it serves. With COMMIT the new configuration is the one; `applying` ends when every worker serves it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Literal

Outcome = Literal["", "done", "unchanged", "shown", "failed"]


class Phase(enum.StrEnum):
    IDLE = "idle"
    COMPILING = "compiling"
    SETTLING = "settling"
    PLACING = "placing"
    PREPARING = "preparing"
    APPLYING = "applying"


class Event(enum.Enum):
    COMPILED = enum.auto()  # there is something to apply
    UNCHANGED = enum.auto()  # there is nothing
    SHOWN = enum.auto()  # nothing more was asked for than what would change
    SETTLED = enum.auto()  # no queue is being emptied
    PLACED = enum.auto()  # the controller has given every host and cluster its row
    PREPARED = enum.auto()  # whoever still counts has the new configuration at hand
    APPLIED = enum.auto()  # whoever still counts serves it


@dataclass(frozen=True, slots=True)
class Failed:
    """`exit_code` is what `proxyctl reload` gives."""

    exit_code: int
    reason: str


class Action(enum.Enum):
    COMPILE = enum.auto()
    PLACE = enum.auto()
    PREPARE = enum.auto()
    COMMIT = enum.auto()
    DROP = enum.auto()  # what there is of the new configuration


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the reload that is under way, or was the last one. `version` is the new configuration's."""

    phase: Phase = Phase.IDLE
    version: int = 0
    outcome: Outcome = ""
    exit_code: int = 0
    reason: str = ""


_STEPS = {
    (Phase.COMPILING, Event.COMPILED): (Phase.SETTLING, ()),
    (Phase.SETTLING, Event.SETTLED): (Phase.PLACING, (Action.PLACE,)),
    (Phase.PLACING, Event.PLACED): (Phase.PREPARING, (Action.PREPARE,)),
    (Phase.PREPARING, Event.PREPARED): (Phase.APPLYING, (Action.COMMIT,)),
}
_ENDS: dict[tuple[Phase, Event], tuple[Outcome, tuple[Action, ...]]] = {
    (Phase.COMPILING, Event.UNCHANGED): ("unchanged", (Action.DROP,)),
    (Phase.COMPILING, Event.SHOWN): ("shown", (Action.DROP,)),
    (Phase.APPLYING, Event.APPLIED): ("done", ()),
}

Decision = tuple[Progress, tuple[Action, ...]]


def begin(version: int) -> Decision:
    """A reload that makes configuration `version`."""
    return Progress(Phase.COMPILING, version), (Action.COMPILE,)


def advance(progress: Progress, event: Event | Failed) -> Decision:
    """The state after `event` and what to do now. An event that comes too late, or too early, changes nothing.

    Once committed nothing fails: whoever does not follow is replaced by somebody who begins with the new configuration.
    """
    if isinstance(event, Failed):
        if progress.phase in (Phase.IDLE, Phase.APPLYING):
            return progress, ()
        failed = replace(progress, phase=Phase.IDLE, outcome="failed", exit_code=event.exit_code, reason=event.reason)
        return failed, (Action.DROP,)
    key = progress.phase, event
    if key in _ENDS:
        outcome, actions = _ENDS[key]
        return replace(progress, phase=Phase.IDLE, outcome=outcome), actions
    if key not in _STEPS:
        return progress, ()
    phase, actions = _STEPS[key]
    return replace(progress, phase=phase), actions
