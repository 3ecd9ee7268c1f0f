"""Looks names up by the C library, for who wants what it knows (mDNS, NIS…): Envoy's getaddrinfo resolver."""

from __future__ import annotations

import functools
import socket
from typing import Final

import trio

from proxy.config.dns import DnsResolver, LookupFamily
from proxy.dns.result import Answer, Failed, Failure, Resolved, Result

DEADLINE: Final = 30.0  # seconds for one lookup with all its tries; a thread that hangs is left behind
PAUSE: Final = 0.1  # seconds between tries
TTL: Final = 60  # seconds; Envoy's, as the C library tells none

_FAMILIES: Final[dict[LookupFamily, tuple[socket.AddressFamily, ...]]] = {
    "AUTO": (socket.AF_INET6, socket.AF_INET),
    "V4_ONLY": (socket.AF_INET,),
    "V6_ONLY": (socket.AF_INET6,),
    "V4_PREFERRED": (socket.AF_INET, socket.AF_INET6),
    "ALL": (socket.AF_UNSPEC,),
}
MAX_THREADS: Final = 10  # Envoy's


class GetAddrInfo:
    """In threads, at most `how.threads` at a time. A name that does not exist is a failure, as it is in Envoy with this
    resolver alone: the library does not tell it from a name that only has no address just now.
    """

    def __init__(self, how: DnsResolver) -> None:
        self._retries = how.retries
        self._limiter = trio.CapacityLimiter(min(how.threads, MAX_THREADS))

    async def lookup(self, name: str, family: LookupFamily) -> Result:
        """The addresses of `name`. Never raises because of what the library says."""
        with trio.move_on_after(DEADLINE):
            for kind in _FAMILIES[family]:
                result = await self._ask(name, kind)
                if isinstance(result, Resolved):
                    break
            return result
        return Failed(Failure.TIMEOUT, f"{name}: no answer within {DEADLINE:g} s")

    async def _ask(self, name: str, kind: socket.AddressFamily) -> Result:
        tries = 0
        while True:
            try:
                found = await self._call(name, kind)
            except socket.gaierror as error:
                if error.errno != socket.EAI_AGAIN or tries == self._retries:
                    return Failed(Failure.SERVER_FAILURE, f"{name}: {error.strerror}")
            except UnicodeError as error:
                return Failed(Failure.BAD_NAME, f"{name}: {error}")
            else:
                return Resolved(tuple(Answer(address, TTL) for address in found))
            tries += 1
            await trio.sleep(PAUSE)

    async def _call(self, name: str, kind: socket.AddressFamily) -> list[str]:
        ask = functools.partial(socket.getaddrinfo, name, None, kind, socket.SOCK_STREAM)
        found = await trio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._limiter)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
