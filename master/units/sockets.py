"""Which addresses does a `.socket` unit listen on, so that the listeners of a configuration get its sockets?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proxy.config.bootstrap import CompiledConfig


def streams(config: CompiledConfig, wanted: Sequence[str]) -> list[str]:
    """`ListenStream=` values for the `wanted` ports or addresses, each once. Raises `LookupError` with the addresses
    that there are.
    """
    addresses = list(dict.fromkeys(str(address) for listener in config.listeners for address in listener.addresses))
    found: list[str] = []
    for word in wanted:
        fitting = [address for address in addresses if address == word or _port(address) == word]
        if not fitting:
            raise LookupError(f"no listener has the port or address {word}; there are {_or_none(addresses)}")
        found += fitting
    return list(dict.fromkeys(found))


def _port(address: str) -> str:
    return "" if address.startswith(("/", "@")) else address.rpartition(":")[2]


def _or_none(addresses: Iterable[str]) -> str:
    return ", ".join(addresses) or "none"
