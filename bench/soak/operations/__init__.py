"""What happens, by subject. Each table is a round: its lines in this order, as often as each says.

Twenty rounds are 20 restarts, 20 reloads, 50 kills, and four each of what takes turns.
"""

from __future__ import annotations

from bench.soak.operations import (
    drain,
    envoy_restart,
    haproxy_reload,
    helper_kill,
    reload,
    restart,
    service,
    worker_kill,
    workers,
)
from bench.soak.operations.operation import Operation
from bench.soak.subjects.envoy import EnvoySubject
from bench.soak.subjects.haproxy import HAProxy
from bench.soak.subjects.service import Service
from bench.soak.subjects.trireme import Trireme

TRIREME: tuple[Operation[Trireme], ...] = (
    Operation("hot restart", restart.perform),
    Operation("worker kill", worker_kill.perform, times=2),
    Operation("reload", reload.perform),
    Operation("worker kill", worker_kill.perform, every=2),
    Operation("graceful drain and undo", drain.perform, every=5, first=0),
    Operation("number of workers", workers.perform, every=5, first=1),
    Operation("controller kill", helper_kill.controller, every=5, first=2),
    Operation("template kill", helper_kill.template, every=5, first=3),
)
SERVICE: tuple[Operation[Service], ...] = (
    Operation("systemctl restart", service.restart),
    Operation("systemctl reload", service.reload),
    Operation("supervisor kill", service.kill),
)
HAPROXY: tuple[Operation[HAProxy], ...] = (Operation("reload (USR2)", haproxy_reload.perform),)
ENVOY: tuple[Operation[EnvoySubject], ...] = (Operation("hot restart", envoy_restart.perform),)
