"""Starting the generation's template: an exec of this generation's code, with one channel and nothing else open."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import NamedTuple

from master.supervisor.python import Code
from shm import channel

CHANNEL_ENV = "TRIREME_TEMPLATE_FD"
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
"""Sent to the whole process group by a terminal or by systemd; the supervisor decides what the template does."""


class Started(NamedTuple):
    """A template that runs, and our end of its channel. It announces itself with "ready"."""

    pid: int
    sock: socket.socket

    def abandon(self) -> None:
        """Nobody will have it fork anything: it is killed and reaped."""
        self.sock.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def start(code: Code, log_level: str) -> Started:
    """Start a template of `code`. The signals of `IGNORED` wait until it ignores them. Raises `OSError`."""
    ours, theirs = channel.pair()
    theirs.setblocking(True)  # the template is synchronous: it waits for orders
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        process = subprocess.Popen(
            code.command("master.template", log_level),
            pass_fds=[theirs.fileno()],
            env=code.child_environment(**{CHANNEL_ENV: str(theirs.fileno())}),
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
    process.returncode = 0  # reaped by the supervisor's own waitpid(-1), never by Popen
    return Started(process.pid, ours)
