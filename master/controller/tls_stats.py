"""Stats that follow from the TLS of a configuration: when certificates expire, and secrets that were read for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import xxhash

from master.controller.sds_stats import scope, uses
from proxy.config.bootstrap import CompiledConfig
from shm.metrics import Metrics

if TYPE_CHECKING:
    from master.certificates import TlsContext

log = logging.getLogger("controller")

_OF_SECRETS = ("init_fetch_timeout", "key_rotation_failed", "update_failure", "update_rejected")
_OF_FACTORIES = ("downstream_context_secrets_not_ready", "upstream_context_secrets_not_ready")


class TlsStats:
    """Those of one configuration: it is walked once. What reads certificates is loaded only where there are some."""

    def __init__(self, config: CompiledConfig) -> None:
        self._secrets = config.secrets
        self._uses = list(uses(config))
        self._expirations: dict[str, int] = {}
        self._warnings: list[str] = []
        self._ocsp_responses: list[float] = []  # until when each is good
        if self._uses:
            from master.certificates import used

            found = used(config)
            self._expirations = expirations(found)
            self._warnings = list(dict.fromkeys(expired(found)))
            answers = [each.ocsp for context in found for each in context.ours if each.ocsp is not None]
            self._ocsp_responses = [each.next_update.timestamp() for each in answers if each.next_update is not None]

    def warn(self) -> None:
        """Say which certificates have expired: they are presented nevertheless."""
        for words in self._warnings:
            log.warning("%s", words)

    def add(self, metrics: Metrics) -> None:
        """What nobody counts: the first reading of each secret, and names that are 0."""
        counters = metrics.counters
        for secret in self._secrets:
            prefix = scope(secret)
            for name in _OF_SECRETS:
                counters.setdefault(prefix + name, 0)
            for name in ("update_attempt", "update_success"):
                counters[prefix + name] = counters.get(prefix + name, 0) + 1
            metrics.gauges[f"{prefix}version"] = xxhash.xxh64_intdigest(secret.version.encode())
            metrics.gauges[f"{prefix}update_time"] = int(secret.updated * 1000)
            metrics.histograms.setdefault(f"{prefix}update_duration", {})
        for prefix, key in self._uses:
            for name in _OF_FACTORIES:
                counters.setdefault(prefix + name, 0)
            name = f"{prefix}ssl_context_update_by_sds"
            counters[name] = counters.get(name, 0) + bool(key)
        metrics.gauges.update(self._expirations)
        if self._expirations:
            left = min(self._expirations.values()) - datetime.now(UTC).timestamp()
            metrics.gauges["server.days_until_first_cert_expiring"] = max(int(left // 86400), 0)
        if self._ocsp_responses:
            left = min(self._ocsp_responses) - datetime.now(UTC).timestamp()
            metrics.gauges["server.seconds_until_first_ocsp_response_expiring"] = max(int(left), 0)


def expired(found: list[TlsContext]) -> Iterator[str]:
    """In words, which are over."""
    now = datetime.now(UTC)
    for context in found:
        for each in (*context.ours, *context.theirs):
            if each.facts.expires < now:
                facts = each.facts
                yield f"{context.where}: the certificate {facts.subject} ({each.path}) expired {facts.expires}"


def expirations(found: list[TlsContext]) -> dict[str, int]:
    """`…ssl.certificate.<name>.expiration_unix_time_seconds`. Of several with one name the one that expires first."""
    stats: dict[str, int] = {}
    for context in found:
        for each in (*context.ours, *context.theirs):
            name = f"{context.prefix}ssl.certificate.{each.name}.expiration_unix_time_seconds"
            seconds = int(each.facts.expires.timestamp())
            stats[name] = min(stats.get(name, seconds), seconds)
    return stats
