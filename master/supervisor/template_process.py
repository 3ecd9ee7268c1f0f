"""Starting the generation's template: an exec of this generation's code, with one channel and nothing else open."""

from __future__ import annotations

import socket
import subprocess

from master.supervisor import python
from shm import channel

CHANNEL_ENV = "TRIREME_TEMPLATE_FD"


def start(log_level: str) -> tuple[int, socket.socket]:
    """(pid, our end of the channel). The template announces itself with "ready"."""
    ours, theirs = channel.pair()
    theirs.setblocking(True)  # the template is synchronous: it waits for orders
    process = subprocess.Popen(
        python.command("master.template", log_level),
        pass_fds=[theirs.fileno()],
        env=python.child_environment(**{CHANNEL_ENV: str(theirs.fileno())}),
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    process.returncode = 0  # reaped by the supervisor's own waitpid(-1), never by Popen
    return process.pid, ours
