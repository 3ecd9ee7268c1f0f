"""`sds.<secret>.*`, and `…_ssl_socket_factory.*` of those who use secrets from files (Envoy's `SdsApi`).

Rotations are counted here; the first reading, when the configuration is compiled, by whoever looks (`tls_stats.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.bootstrap import CompiledConfig
from proxy.config.secrets import contexts
from proxy.config.tls import Secret
from proxy.stats import Stats


class SdsStats:
    """What rotations bring. `own`: the secret's own file has changed, and not one that it names."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def replaced(self, secret: Secret, config: CompiledConfig, *, own: bool) -> None:
        """`config` has another one by this key."""
        if own:
            self._count(secret, "update_attempt")
            self._count(secret, "update_success")
        for prefix, key in uses(config):
            if key == secret.key:
                self._stats.counter(f"{prefix}ssl_context_update_by_sds").inc()

    def refused(self, secret: Secret, *, own: bool, unreadable: bool) -> None:
        """It stays as it is."""
        if not own:
            self._count(secret, "key_rotation_failed")
            return
        self._count(secret, "update_attempt")
        self._count(secret, "update_failure" if unreadable else "update_rejected")

    def _count(self, secret: Secret, name: str) -> None:
        self._stats.counter(f"{scope(secret)}{name}").inc()


def scope(secret: Secret) -> str:
    """The prefix of its stats."""
    return f"sds.{secret.name.replace(':', '_')}."


def uses(config: CompiledConfig) -> Iterator[tuple[str, str]]:
    """The stats prefix of each TLS context with the key of each secret from a file in it, "" for what is in none."""
    for listener in config.listeners:
        for tls in contexts(listener.all_chains):
            keys = (*tls.secrets.certificates, tls.secrets.validation, tls.secrets.ticket_keys)
            yield from ((f"listener.{listener.stat_prefix}.server_ssl_socket_factory.", key) for key in keys)
    for cluster in config.clusters:
        for tls in contexts(cluster):
            keys = (*tls.secrets.certificates, tls.secrets.validation)
            yield from ((f"cluster.{cluster.stat_name}.client_ssl_socket_factory.", key) for key in keys)
