"""`/etc/hosts` (hosts(5)): pure parsing."""

from __future__ import annotations

import ipaddress


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """Lower-case name → its addresses in the file's order. Lines that make no sense are ignored."""
    found: dict[str, dict[str, None]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            numeric = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.lower().rstrip("."), {})[numeric] = None
    return {name: tuple(addresses) for name, addresses in found.items()}
