"""Limits of the process and of the kernel that cut a proxy short."""

from __future__ import annotations

from master.doctor.finding import Finding
from proxy.config.listener import Listener

FEW_FILES = 4096
ENOUGH_FILES = 65_536
ENOUGH_BACKLOG = 1024


def open_files(hard: int) -> Finding:
    """The hard RLIMIT_NOFILE: the supervisor raises the soft one to it. A proxied connection needs two descriptors."""
    remedy = "`LimitNOFILE=1048576` in the systemd unit, `--ulimit nofile=1048576` for Docker, or `ulimit -Hn` as root"
    text = f"{hard} descriptors for each process: about {hard // 2} connections for each worker"
    if hard < FEW_FILES:
        return Finding("open files", "fault", text, remedy)
    return Finding("open files", "warning", text, remedy) if hard < ENOUGH_FILES else Finding("open files", "ok", text)


def backlog(somaxconn: int, listeners: tuple[Listener, ...]) -> Finding:
    """`net.core.somaxconn` cuts every listener's accept queue, without a word."""
    wanted = max((listener.backlog for listener in listeners), default=0)
    enough = max(wanted, ENOUGH_BACKLOG)
    if somaxconn >= enough:
        return Finding("accept queue", "ok", f"net.core.somaxconn is {somaxconn}")
    text = f"net.core.somaxconn is {somaxconn}: new connections are dropped when more than that many come at once"
    if wanted > somaxconn:
        text = f"net.core.somaxconn is {somaxconn} and cuts a listener's tcp_backlog_size of {wanted} to it"
    return Finding("accept queue", "warning", text, f"`sysctl -w net.core.somaxconn={enough}`, and in /etc/sysctl.d")
