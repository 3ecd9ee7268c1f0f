"""The other side of the exec: the supervisor as its predecessor left it (`takeover.py`), in the same process."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import Any

from master.supervisor import committed, state, takeover
from master.supervisor.child import Child, Outbox
from master.supervisor.generation import Generation, Plan
from master.supervisor.listening import ListenSockets
from master.supervisor.memory import SUPERVISOR_SLOT, Memory, Tables
from master.supervisor.options import Options
from master.supervisor.python import Code
from master.supervisor.restart import Restart
from master.supervisor.restart_sequence import Event, Phase, Progress
from master.supervisor.runtime_dir import RuntimeDir
from master.supervisor.signals import SignalQueue
from master.supervisor.sockets import AddressSockets, SocketPool
from master.supervisor.supervisor import Supervisor
from master.supervisor.systemd.notify import Notifier
from proxy import log as process_log
from shm import memfd
from shm.processes import Word

log = logging.getLogger("supervisor")

RETURNED_ENV = "TRIREME_RETURNED"  # set where the new code failed and the old one has got the process back


def supervisor(options: Options, carried: int) -> Supervisor:
    """Go on from the state in `carried`. If that fails, the process becomes the code again that it was before."""
    content = state.decode(memfd.read_all(carried))
    returned = os.environ.pop(RETURNED_ENV, None)
    try:
        resumed = _resume(options, content)
    except Exception:
        if returned is not None:
            raise
        log.exception("cannot take over; the supervisor becomes the code again that it was")
        _return(options, content, carried)
        raise
    for fd in [carried, *state.descriptors(content)]:
        os.set_inheritable(fd, False)
    os.close(carried)
    if returned is None:
        resumed.restart.on(Event.EXECUTED)
    else:
        resumed.restart.fail_takeover(returned)
    log.info("generation %d has taken over: same process, %s", resumed.serving.number, sys.executable)
    takeover.unblock()
    return resumed


def _return(options: Options, content: dict[str, Any], carried: int) -> None:
    previous = content["previous"]
    os.environ[RETURNED_ENV] = "the new code's supervisor failed; the log has its traceback"
    takeover.become(Code(previous["executable"], previous["root"]), options.to_json(), carried, sys.argv[1:])


def _resume(options: Options, content: dict[str, Any]) -> Supervisor:
    """Everything stays inheritable, and nobody is told or started, until it is complete."""
    notifier = Notifier.of(os.environ)
    adopted = [AddressSockets.adopt(address, notifier) for address in content["addresses"]]
    pool = SocketPool(notifier, adopted=adopted)
    directory = RuntimeDir(options.runtime_dir, lock=content["lock"])
    resumed = Supervisor(options, directory, pool, Memory(content["memory"]), SignalQueue(), notifier)
    resumed.state = content["server_state"]
    resumed.orders = content["orders"]
    resumed.leader.counters_base = content["counters_base"]
    resumed.restart = Restart(resumed, Progress(Phase.TAKEOVER, content["restart"]["generation"]))
    if "log" in resumed.orders:
        process_log.set_levels(resumed.orders["log"]["levels"])
    resumed.generations = [_generation(resumed, item) for item in content["generations"]]
    leader = resumed.leader.generation = resumed.serving
    _adopt_history(resumed, content)
    resumed.drains.resume(content.get("listeners_stopped", 0))
    resumed.memory.processes.write(SUPERVISOR_SLOT, Word.GENERATION, leader.number)
    for generation in resumed.generations:
        resumed.timers.after(0.0, generation.complete)
    return resumed


def _adopt_history(resumed: Supervisor, content: dict[str, Any]) -> None:
    """A release that kept none begins it with what is in effect."""
    resumed.history.adopt(content.get("history", []))
    resumed.reload.effects.adopt(content.get("effects", {"counts": {}, "draining": []}))
    if not resumed.history.entries:
        resumed.history.push(resumed.serving.committed.fd, "restart")
        resumed.in_effect(resumed.serving)


def _generation(resumed: Supervisor, content: dict[str, Any]) -> Generation:
    code = Code(content["code"]["executable"], content["code"]["root"])
    plan = Plan(content["number"], code, committed.read(content["config"]), content["count"])
    tables = Tables(content["hosts"], content["clusters"])
    sockets = ListenSockets(resumed.pool, plan.committed, resumed.directory.admin_socket, count=0)
    generation = Generation(resumed, plan, sockets, tables)
    generation.state = content["state"]
    generation.endpoints = content["endpoints"]
    generation.endpoints_delta = content.get("endpoints_delta")
    generation.config_version = content.get("config_version", 0)
    generation.spawning.fingerprint = content.get("fingerprint", "")
    generation.ends_at = content["ends_at"]
    generation.slots = content["slots"]
    children = [_child(generation, item) for item in content["children"]]
    for child in children:
        resumed.children.add(child)
        resumed.children.watch(child)
    generation.spawning.template = next((child for child in children if child.role == "template"), None)
    generation.controller = next((child for child in children if child.role == "controller"), None)
    generation.workforce.adopt([child for child in children if child.role == "worker"], listening=content["listening"])
    return generation


def _child(generation: Generation, content: dict[str, Any]) -> Child:
    sock = socket.socket(fileno=content["channel"])
    sock.setblocking(False)
    return Child(
        generation,
        content["role"],
        Outbox(sock),
        pid=content["pid"],
        index=content["index"],
        slot=content["slot"],
        state=content["state"],
        started_ns=content["started_ns"],
    )
