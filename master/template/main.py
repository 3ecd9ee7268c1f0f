"""The template: single-threaded, no event loop ever runs in it; it waits for orders and forks.

A forked worker shares its pages: it costs a few MB and takes over within milliseconds. The process that is forked for
an order is a grandchild whose parent ends at once, so it becomes the supervisor's child (a subreaper's).
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import signal
import socket
import traceback
from typing import Any, NoReturn

import setproctitle

from master.supervisor.template_process import CHANNEL_ENV, IGNORED
from master.template import hygiene
from master.template.fingerprint import fingerprint
from proxy import log as process_log
from proxy.access_log import ACCESS_LOGGERS
from proxy.filters.http import HTTP_FILTERS
from proxy.filters.network import NETWORK_FILTERS
from proxy.registry import load
from shm import channel

log = logging.getLogger("template")


def main(log_level: str) -> None:
    """Serve orders until the supervisor closes the channel."""
    process_log.configure(log_level)
    setproctitle.setproctitle("trireme: template")
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    sock = socket.socket(fileno=int(os.environ.pop(CHANNEL_ENV)))
    sock.set_inheritable(False)
    _import_data_plane()
    code = fingerprint()
    gc.collect()
    gc.freeze()  # what is imported now is never examined again, so its pages stay shared
    sock.send(channel.encode({"type": "ready", "fingerprint": code}))
    _serve(sock, code)


def _import_data_plane() -> None:
    """Everything a worker runs, plug-ins included. The controller imports its own part after the fork."""
    importlib.import_module("workers.entry")
    for table in (ACCESS_LOGGERS, HTTP_FILTERS, NETWORK_FILTERS):
        for type_url in table:
            load(table, type_url)
    ctypes.CDLL(None)


def _serve(sock: socket.socket, code: str) -> None:
    collector = channel.FdCollector()
    while True:
        try:
            message, fds = channel.receive(sock)
        except channel.ChannelClosedError:
            return
        if collector.collect(message, fds):
            continue
        if message["type"] == "reopen_logs":
            if fds:
                os.dup2(fds[0], 2)
                os.close(fds[0])
            continue
        inherited = collector.take()
        try:
            pid = _fork(message, inherited, code)
        finally:
            for fd in inherited.values():
                os.close(fd)
        sock.send(channel.encode({"type": "spawned", "sequence": message["sequence"], "pid": pid}))


def _fork(order: dict[str, Any], inherited: dict[str, int], code: str) -> int:
    """Fork twice; returns the pid of the grandchild. All signals are blocked until it has its own handlers."""
    read, write = os.pipe()
    blocked: set[int] = set(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()))
    middle = os.fork()
    if middle == 0:
        try:
            pid = os.fork()
            if pid:
                os.write(write, pid.to_bytes(4, "little"))
                os._exit(0)
            _become(order, inherited, code, blocked)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(70)  # never back into the template's code
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read(4)
    os.waitpid(middle, 0)
    return int.from_bytes(data, "little")


def _become(order: dict[str, Any], inherited: dict[str, int], code: str, mask: set[int]) -> NoReturn:
    """In the new process: shed what belongs to the template, then run the role."""
    hygiene.after_fork(inherited, mask, user=order["user"], group=order["group"])
    title = f"worker {order['index']}" if order["role"] == "worker" else order["role"]
    setproctitle.setproctitle(f"trireme: {title} (generation {order['generation']})")
    if order["role"] == "worker":
        entry = importlib.import_module("workers.entry")
    else:
        if fingerprint() != code:
            log.warning("the code on disk changed since this generation started; run `proxyctl restart`")
        entry = importlib.import_module("master.controller.entry")
    os._exit(entry.main(order, inherited))
