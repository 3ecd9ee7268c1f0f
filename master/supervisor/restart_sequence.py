"""The hot restart, step by step. Pure: events go in, the next state and what is to be done come out.

::

    idle → preflight → starting → (canary) → handover → takeover → (exec) idle
                │          │          │ until here a failure removes the new generation, and the old one never stopped
                └──────────┴──────────┴→ idle

`starting` ends when every process of the new generation is ready: it then serves, and the old one drains (COMMIT); or,
if that was asked for, one of its workers serves beside the old generation first (TRY), as long as `canary` says.
`handover` ends when the old controller has let go of the admin interface; `takeover` when nothing is under way that
only this process knows of: the supervisor becomes the new code by exec.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Literal

EXIT_STOPPED = 5  # `proxyctl`'s "rejected": something else was asked for meanwhile


class Phase(enum.StrEnum):
    IDLE = "idle"
    PREFLIGHT = "preflight"
    STARTING = "starting"
    CANARY = "canary"
    HANDOVER = "handover"
    TAKEOVER = "takeover"


class Event(enum.Enum):
    COMPILED = enum.auto()  # the new code has compiled the configuration and understands our state
    READY = enum.auto()  # every process of the new generation is ready
    PASSED = enum.auto()  # the canary did as well as the generation that serves
    RETIRED = enum.auto()  # the old controller answers no new admin request and writes nothing that is not its own
    SETTLED = enum.auto()  # no message waits, no process is being forked, no socket waits for its end
    EXECUTED = enum.auto()  # this is the new code


@dataclass(frozen=True, slots=True)
class Failed:
    """`exit_code` is what `proxyctl restart` gives."""

    exit_code: int
    reason: str


class Action(enum.Enum):
    COMPILE = enum.auto()
    START = enum.auto()
    TRY = enum.auto()
    COMMIT = enum.auto()
    LEAD = enum.auto()
    EXECUTE = enum.auto()
    REMOVE = enum.auto()  # the new generation, or what there is of it


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the restart that is under way, or was the last one. `generation` is the new one's number, `canary` the seconds
    for which one of its workers is tried first.
    """

    phase: Phase = Phase.IDLE
    generation: int = 0
    canary: float = 0.0
    outcome: Literal["", "done", "failed"] = ""
    exit_code: int = 0
    reason: str = ""


_STEPS = {
    (Phase.PREFLIGHT, Event.COMPILED): (Phase.STARTING, Action.START),
    (Phase.STARTING, Event.READY): (Phase.HANDOVER, Action.COMMIT),
    (Phase.CANARY, Event.PASSED): (Phase.HANDOVER, Action.COMMIT),
    (Phase.HANDOVER, Event.RETIRED): (Phase.TAKEOVER, Action.LEAD),
    (Phase.TAKEOVER, Event.SETTLED): (Phase.TAKEOVER, Action.EXECUTE),
}

Decision = tuple[Progress, tuple[Action, ...]]


def begin(generation: int, *, canary: float = 0.0) -> Decision:
    """A restart into `generation`."""
    return Progress(Phase.PREFLIGHT, generation, canary), (Action.COMPILE,)


def advance(progress: Progress, event: Event | Failed) -> Decision:
    """The state after `event` and what to do now. An event that comes too late, or too early, changes nothing."""
    if isinstance(event, Failed):
        return _fail(progress, event)
    if (progress.phase, event) == (Phase.TAKEOVER, Event.EXECUTED):
        return replace(progress, phase=Phase.IDLE, outcome="done"), ()
    if (progress.phase, event) == (Phase.STARTING, Event.READY) and progress.canary:
        return replace(progress, phase=Phase.CANARY), (Action.TRY,)
    if (progress.phase, event) not in _STEPS:
        return progress, ()
    phase, action = _STEPS[progress.phase, event]
    return replace(progress, phase=phase), (action,)


def _fail(progress: Progress, failure: Failed) -> Decision:
    idle = replace(progress, phase=Phase.IDLE, exit_code=failure.exit_code, reason=failure.reason)
    match progress.phase:
        case Phase.PREFLIGHT | Phase.STARTING | Phase.CANARY:
            return replace(idle, outcome="failed"), (Action.REMOVE,)
        case Phase.HANDOVER:  # committed: the new generation serves, whatever happens to the supervisor
            return replace(idle, outcome="done"), (Action.LEAD,)
        case Phase.TAKEOVER:
            return replace(idle, outcome="done"), ()
        case _:
            return progress, ()
