"""The exec by which the supervisor becomes the new code, with everything that it owns (DESIGN §1, "exec last")."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any

from master.supervisor import state
from master.supervisor.child import Child
from master.supervisor.generation import Generation
from master.supervisor.options import OPTIONS_ENV
from master.supervisor.python import OWN, Code
from master.supervisor.signals import HANDLED
from master.supervisor.state import Fd
from shm import memfd

if TYPE_CHECKING:
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

STATE_ENV = "TRIREME_STATE_FD"  # the environment variable that carries the state's descriptor


def execute(supervisor: Supervisor) -> None:
    """Become the code of the serving generation; does not return, except where a signal must be dealt with first.

    Raises `OSError` if the exec fails, or `StateError`; then everything is as it was before.
    """
    generation = supervisor.serving
    version = state.common(generation.committed.state_versions)
    content = snapshot(supervisor)
    carried = memfd.sealed("trireme-state", state.encode(content, version))
    listed = [carried, *state.descriptors(content)]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        if select.select([supervisor.signals.fileno()], [], [], 0)[0]:
            return  # it came before the block and would be lost with this process's queue; there is a next turn
        for fd in listed:
            os.set_inheritable(fd, True)
        log.info("the supervisor becomes the code of generation %d", generation.number)
        become(generation.code, supervisor.options.to_json(), carried, sys.argv[1:])
    finally:
        for fd in listed:
            os.set_inheritable(fd, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(carried)


def become(code: Code, options: str, carried: int, arguments: list[str]) -> None:
    """Exec `code` with the state in `carried`. All handled signals are blocked, what is inherited is inheritable."""
    command = code.command("master.supervisor", *arguments)
    environment = code.environment(**{OPTIONS_ENV: options, STATE_ENV: str(carried)})
    os.execve(command[0], command, environment)


def unblock() -> None:
    """The handlers stand: signals that came during the exec are delivered now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


# --- the state ------------------------------------------------------------------------------------------------------


def snapshot(supervisor: Supervisor) -> dict[str, Any]:
    """Everything that a successor needs (`state.py`)."""
    base = supervisor.leader.counters_base
    return {
        "previous": {"executable": OWN.executable, "root": OWN.root},
        "options": supervisor.options.to_json(),
        "server_state": supervisor.state,
        "orders": supervisor.orders,
        "listeners_stopped": supervisor.drains.stopped,
        "lock": Fd(supervisor.directory.lock),
        "counters_base": None if base is None else Fd(base),
        "memory": supervisor.memory.state(),
        "addresses": [address.state() for address in supervisor.pool.addresses.values()],
        "generations": [_generation(generation) for generation in supervisor.generations],
        "restart": {"generation": supervisor.restart.progress.generation},
        "history": supervisor.history.state(),
        "effects": supervisor.reload.effects.status(),
    }


def _generation(generation: Generation) -> dict[str, Any]:
    endpoints, delta = generation.endpoints, generation.endpoints_delta
    return {
        "number": generation.number,
        "code": {"executable": generation.code.executable, "root": generation.code.root},
        "state": generation.state,
        "config": Fd(generation.committed.fd),
        "config_version": generation.config_version,
        "fingerprint": generation.spawning.fingerprint,
        "endpoints": None if endpoints is None else Fd(endpoints),
        "endpoints_delta": None if delta is None else Fd(delta),
        "hosts": Fd(generation.tables.hosts),
        "clusters": Fd(generation.tables.clusters),
        "count": generation.workforce.count,
        "listening": generation.workforce.listening,
        "ends_at": generation.ends_at,
        "slots": generation.slots,
        "children": [_child(child) for child in generation.children() if child.pid],
    }


def _child(child: Child) -> dict[str, Any]:
    return {
        "role": child.role,
        "pid": child.pid,
        "index": child.index,
        "slot": child.slot,
        "state": child.state,
        "started_ns": child.started_ns,
        "channel": Fd(child.outbox.sock.fileno()),
    }
