"""The start of an instance, in order: lock, preflight (the template loads beside it), bind, shared memory, processes.

Nothing is left on failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import sys
import time

from master.supervisor import identity, log_file, preflight, template_process
from master.supervisor.committed import Committed
from master.supervisor.memory import Memory
from master.supervisor.options import OPTIONS_ENV, Options
from master.supervisor.runtime_dir import RuntimeDir, RuntimeDirError
from master.supervisor.signals import SignalQueue
from master.supervisor.sockets import BindError, ListenSockets
from master.supervisor.supervisor import Supervisor
from master.supervisor.systemd import listen_fds, notify, supply
from master.supervisor.systemd.listen_fds import Handed
from proxy import log as process_log

log = logging.getLogger("supervisor")

EXIT_REJECTED = 5
CRASH_PATIENCE = 6.0  # seconds; orphans end within 5

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run until stopped; returns the exit code (0 clean, 1 failed, 3 invalid configuration, 5 not permitted)."""
    options = Options.from_json(os.environ.pop(OPTIONS_ENV))
    process_log.configure(options.log_level)
    if options.log_path:
        try:
            log_file.redirect(options.log_path)
        except OSError as error:
            print(f"error: --log-path {options.log_path}: {error.strerror}", file=sys.stderr)
            return EXIT_REJECTED
    try:
        handed, complaints = listen_fds.take(os.environ, os.getpid())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_REJECTED
    for complaint in complaints:
        log.warning("%s", complaint)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, b"trireme-super", 0, 0, 0)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.error("cannot become a subreaper: %s", os.strerror(ctypes.get_errno()))
        return 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a worker's core holds its clients' secrets
    with contextlib.suppress(ValueError, OSError):  # as many connections as the hard limit allows
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        identity.check(options.user, options.group)
        directory = RuntimeDir(options.runtime_dir)
    except (identity.IdentityError, RuntimeDirError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_REJECTED
    try:
        return _run(options, directory, handed)
    except preflight.PreflightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BindError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_REJECTED
    finally:
        directory.clean()


def _run(options: Options, directory: RuntimeDir, handed: list[Handed]) -> int:
    signals = SignalQueue()
    with contextlib.closing(notify.Notifier(notify.address(os.environ))) as notifier:
        return _start(options, directory, handed, signals, notifier)


def _start(
    options: Options,
    directory: RuntimeDir,
    handed: list[Handed],
    signals: SignalQueue,
    notifier: notify.Notifier,
) -> int:
    notifier.status("starting: compiling the configuration")
    template = template_process.start(options.log_level)  # imports the data plane while the configuration is compiled
    try:
        committed = preflight.run(options, signals, version=1)
        sockets = _bind(committed, directory, handed, notifier)
    except BaseException:
        template.abandon()
        raise
    try:
        memory = Memory(hosts=committed.hosts, clusters=committed.clusters)
        code = Supervisor(options, committed, sockets, memory, signals, notifier, template).run()
        log.info("exiting with status %d", code)
        return code
    finally:
        sockets.close()


def _bind(
    committed: Committed, directory: RuntimeDir, handed: list[Handed], notifier: notify.Notifier
) -> ListenSockets:
    """All listening sockets, those that systemd `handed` us among them (they are closed here: the result has copies).
    After a crash, the last instance's children get the time that they need to end.
    """
    supplies = supply.assign(list(supply.wanted(committed)), handed)
    supply.release(supplies, handed, notifier)
    patience = time.monotonic() + (CRASH_PATIENCE if directory.unclean else 0.0)
    while True:
        try:
            sockets = ListenSockets(committed.listeners, committed.admin, directory.admin_socket, supplies, notifier)
        except BindError:
            if time.monotonic() >= patience:
                raise
            time.sleep(0.1)
        else:
            for one in handed:
                one.sock.close()
            return sockets
