"""Looks at the children and says who is to be signalled for hanging. `hang.py` has the rule; nothing is sent here."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Collection, Iterator

from master.supervisor import hang
from master.supervisor.child import Child
from shm.processes import ProcessTable

log = logging.getLogger("supervisor")

TEMPLATE_DEADLINE = 10.0  # seconds for the template to start, or to fork (which takes milliseconds)


def verdicts(
    children: Collection[Child], processes: ProcessTable, *, own_lag_ns: int
) -> Iterator[tuple[Child, signal.Signals]]:
    """Whom to signal now: the one that has been silent too long with SIGABRT (faulthandler prints every thread's
    stack), a second later with SIGKILL. One at a time, so that a stall kills no crowd.
    """
    now_ns = time.monotonic_ns()
    for child in children:
        if child.state == "hung":
            if now_ns > child.kill_at_ns:
                yield child, signal.SIGKILL
            return
    if own_lag_ns > hang.OWN_LAG_NS:  # whoever was paused with us gets its time from now on
        for child in children:
            child.excused_ns = now_ns
        return
    by_slot = {child.slot: child for child in children}
    beats = (
        hang.Beat(slot, max(child.started_ns, child.excused_ns, processes.read(slot).heartbeat_ns))
        for slot, child in by_slot.items()
    )
    silent = hang.hung(beats, now_ns=now_ns)
    if silent is None:
        return
    child = by_slot[silent.slot]
    seconds = (now_ns - silent.last_ns) / 1e9
    words = "%s (pid %d) has given no sign of life for %.1f s; its traceback follows, then it is killed"
    log.error(words, child.name, child.pid, seconds)
    child.state = "hung"
    child.kill_at_ns = now_ns + hang.KILL_AFTER_NS
    yield child, signal.SIGABRT


def template_hangs(template: Child, ordered: Collection[Child]) -> bool:
    """It has no heartbeat; it hangs if its own start, or an order, takes too long."""
    waiting = [child.started_ns for child in ordered]
    if template.state == "starting":
        waiting.append(template.started_ns)
    if not waiting or time.monotonic_ns() - min(waiting) < TEMPLATE_DEADLINE * 1e9:
        return False
    log.error("the template has not answered within %.0f s; killing it", TEMPLATE_DEADLINE)
    return True
