"""Can the addresses of a configuration be had, and if not, who has them?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from master.doctor.finding import Finding
from master.supervisor.bind import BindError, probe
from master.supervisor.committed import Address
from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import SocketAddress

SYSTEMD = 1  # its process


def check(config: CompiledConfig, ours: Collection[int]) -> Iterator[Finding]:
    """One finding for each TCP address. `ours` are the processes of the proxy that runs already: they may hold them."""
    for name, address in _addresses(config):
        where = f"address {address}"
        try:
            probe(Address(host=address.host, port=address.port))
        except BindError as error:
            if _holder(str(error)) == SYSTEMD:
                yield Finding(where, "ok", f"{name}: held by systemd, for a .socket unit")
            elif _holder(str(error)) in ours:
                yield Finding(where, "ok", f"{name}: held by the proxy that runs in this runtime directory")
            else:
                reason, _, remedy = str(error).partition("; ")
                yield Finding(where, "fault", f"{name}: {reason}", remedy)
        else:
            yield Finding(where, "ok", f"{name}: free")


def _addresses(config: CompiledConfig) -> Iterable[tuple[str, SocketAddress]]:
    for listener in config.listeners:
        for address in listener.addresses:
            if isinstance(address, SocketAddress):
                yield f"listener {listener.name}", address
    if isinstance(config.admin_address, SocketAddress):
        yield "admin", config.admin_address


def _holder(text: str) -> int:
    """The process that a `BindError` names, or -1."""
    found = re.search(r"in use by pid (\d+)", text)
    return int(found[1]) if found else -1
