"""What clusters have in common that find the host of a request in a way of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.config.cluster import ClusterEndpoints, Host
from proxy.config.lb_subsets import Labels
from proxy.upstream.host_set import HostSet


class Choice:
    """Implements `Picks`: there is no other host, and None for none at all."""

    __slots__ = ("host",)

    in_panic = False

    def __init__(self, host: Host | None) -> None:
        self.host = host

    @property
    def serves(self) -> bool:
        """Whether there is a host for requests."""
        return self.host is not None

    def update(self, hosts: HostSet) -> None:
        """It stays as it is."""

    def pick(self, number: int | None = None, attempt: int = 0) -> Host | None:
        """The host."""
        return self.host


NOWHERE: Final = Choice(None)


class Provided:
    """Implements `PicksHosts` but for `choose`: there are no hosts that anybody could know beforehand. `charge_none` is
    called for a request without one.
    """

    def __init__(self, charge_none: Callable[[], None]) -> None:
        self._charge_none = charge_none

    @property
    def hosts(self) -> HostSet:
        """None."""
        return HostSet()

    def update(self, hosts: HostSet) -> None:
        """They come from requests alone."""

    def follow_proxies(self) -> None:
        """They have no zones."""

    def charge_none_healthy(self, labels: Labels) -> None:
        """A request has no host."""
        self._charge_none()

    def begin(self) -> None:
        """Nothing to count."""

    def end(self) -> None:
        """Nothing to count."""


def shared_row(endpoints: ClusterEndpoints | None) -> int:
    """The row that all hosts of such a cluster share: its endpoints hold nothing else."""
    localities = endpoints.localities if endpoints is not None else ()
    return next((host.slot for locality in localities for host in locality.hosts), 0)
