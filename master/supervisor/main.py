"""The start of an instance, in order: lock, preflight (the template loads beside it), bind, shared memory, processes.

Nothing is left on failure.

After the exec of a hot restart the same process begins here again, with everything in hand: `_resume`.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import resource
import sys
import time

from master.supervisor import identity, log_file, preflight, resume, takeover, template_process
from master.supervisor.bind import BindError
from master.supervisor.committed import Committed
from master.supervisor.memory import Memory
from master.supervisor.options import OPTIONS_ENV, Options
from master.supervisor.python import OWN
from master.supervisor.runtime_dir import RuntimeDir, RuntimeDirError
from master.supervisor.signals import SignalQueue
from master.supervisor.sockets import SocketPool
from master.supervisor.supervisor import Supervisor
from master.supervisor.systemd import listen_fds, supply
from master.supervisor.systemd.listen_fds import Handed
from master.supervisor.systemd.notify import Notifier
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
    faulthandler.enable()  # systemd's watchdog ends a supervisor that hangs by SIGABRT: the stack says where
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, b"trireme-super", 0, 0, 0)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.error("cannot become a subreaper: %s", os.strerror(ctypes.get_errno()))
        return 1
    carried = os.environ.pop(takeover.STATE_ENV, None)
    if carried is not None:
        return _serve(resume.supervisor(options, int(carried)))
    try:
        handed, complaints = listen_fds.take(os.environ, os.getpid())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_REJECTED
    for complaint in complaints:
        log.warning("%s", complaint)
    if options.log_path:
        try:
            log_file.redirect(options.log_path)
        except OSError as error:
            print(f"error: --log-path {options.log_path}: {error.strerror}", file=sys.stderr)
            return EXIT_REJECTED
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
    return _start(options, directory, handed)


def _start(options: Options, directory: RuntimeDir, handed: list[Handed]) -> int:
    """The first generation; sockets that systemd `handed` us are closed here (the pool has copies)."""
    signals = SignalQueue()
    notifier = Notifier.of(os.environ)
    notifier.status("starting: compiling the configuration")
    template = template_process.start(OWN, options.log_level)  # imports the data plane while preflight compiles
    try:
        committed = preflight.run(options, signals, version=1)
        supplies = supply.assign(list(supply.wanted(committed)), handed)
        supply.release(supplies, handed, notifier)
        pool = SocketPool(notifier, supplies)
        supervisor = Supervisor(options, directory, pool, Memory(), signals, notifier)
        _bind_and_start(supervisor, committed, template)
        pool.settle()
        for one in handed:
            one.sock.close()
    except (preflight.PreflightError, BindError) as error:
        template.abandon()
        print(f"error: {error}", file=sys.stderr)
        directory.clean()
        return error.exit_code if isinstance(error, preflight.PreflightError) else EXIT_REJECTED
    return _serve(supervisor)


def _serve(supervisor: Supervisor) -> int:
    try:
        code = supervisor.run()
        log.info("exiting with status %d", code)
        return code
    finally:
        supervisor.pool.close()
        supervisor.systemd.notifier.close()
        supervisor.directory.clean()


def _bind_and_start(supervisor: Supervisor, committed: Committed, template: template_process.Started) -> None:
    """All listening sockets. After a crash, the last instance's children get the time that they need to end."""
    patience = time.monotonic() + (CRASH_PATIENCE if supervisor.directory.unclean else 0.0)
    while True:
        try:
            return supervisor.start(committed, template)
        except BindError:
            if time.monotonic() >= patience:
                raise
            time.sleep(0.1)
