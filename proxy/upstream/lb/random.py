"""RANDOM: any host, each as likely as the others whatever its weight, as Envoy's `RandomLoadBalancer`."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config.cluster import Host
from proxy.upstream.lb import Surroundings


class RandomHost:
    """Has no memory."""

    __slots__ = ("_hosts", "_random")

    def __init__(self, surroundings: Surroundings) -> None:
        self._random = surroundings.random
        self._hosts: Sequence[Host] = ()

    def update(self, hosts: Sequence[Host]) -> None:
        """Balance over `hosts` from now on."""
        self._hosts = hosts

    def pick(self) -> Host | None:
        """Any host; None if there are none."""
        return self._random.choice(self._hosts) if self._hosts else None
