"""The certificates that a configuration has: where each is used, what it says, how long it is good for."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from proxy.config.bootstrap import CompiledConfig
from proxy.config.secrets import contexts
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.ocsp import Answer, read

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Used(NamedTuple):
    """One certificate. `path` is its file, or "<inline>"; `name` as stats have it; `ocsp` is the response that goes
    with it, None if there is none.
    """

    path: str
    name: str
    facts: CertificateFacts
    ocsp: Answer | None = None

    def days_left(self, now: datetime) -> int:
        """Whole days; 0 for one that has expired."""
        return max((self.facts.expires - now).days, 0)


class TlsContext(NamedTuple):
    """`where` is `listener NAME` or `cluster NAME`, `prefix` that of its stats, with a dot at the end. `ours` are shown
    to peers, `theirs` are what peers' certificates are held against.
    """

    where: str
    prefix: str
    ours: tuple[Used, ...]
    theirs: tuple[Used, ...]


def used(config: CompiledConfig) -> list[TlsContext]:
    """All TLS contexts: of listeners by filter chain, then of clusters."""
    return [*_contexts(config)]


def _contexts(config: CompiledConfig) -> Iterator[TlsContext]:
    holders = [(f"listener {each.name}", f"listener.{each.stat_prefix}.", each.all_chains) for each in config.listeners]
    for where, prefix, value in (
        *holders,
        *((f"cluster {each.name}", f"cluster.{each.stat_name}.", each) for each in config.clusters),
    ):
        for tls in contexts(value):
            ours = tuple(
                Used(each.path, stat_name(each.name, "unnamed_cert"), facts, read(each.ocsp) if each.ocsp else None)
                for each in tls.certificates
                for facts in _facts(each.chain)[:1]  # what stands behind the leaf is for those who verify it
            )
            theirs: tuple[Used, ...] = ()
            if tls.validation is not None:
                name = stat_name(tls.validation.name, "unnamed_ca_cert")
                theirs = tuple(Used(tls.validation.path, name, facts) for facts in _facts(tls.validation.trusted_ca))
            yield TlsContext(where, prefix, ours, theirs)


def stat_name(secret: str, otherwise: str) -> str:
    """The name of a secret in stats; Envoy's for what is in none."""
    return secret.replace(":", "_") or f"{otherwise}_{hashlib.sha256(b'').hexdigest()[:8]}"


def _facts(pem: bytes) -> list[CertificateFacts]:
    return [CertificateFacts(ssl.PEM_cert_to_DER_cert(block.decode())) for block in _PEM.findall(pem)]
