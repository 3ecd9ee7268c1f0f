"""Secrets read again from their files, for the configuration that is in effect: nothing else of it is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from master.config.compile.secrets import Unusable
from master.config.compile.tls_validation import WITHOUT_TRUST
from master.config.sds import newer
from proxy.config.bootstrap import CompiledConfig
from proxy.config.secrets import contexts, with_secrets
from proxy.config.tls import DownstreamTls, Secret
from proxy.net.tls.client import ClientTls
from proxy.net.tls.context import TlsConfigError
from proxy.net.tls.server import ServerTls
from proxy.net.tls.stats import TlsStats
from proxy.stats import MemoryStats


class Outcome(msgspec.Struct, frozen=True):
    """What came of a secret whose files have changed: another one, or, for the reason `error`, the same as before.
    `unreadable`: its own file is no list of secrets.
    """

    name: str
    path: str
    watched_directory: str
    error: str = ""
    unreadable: bool = False


def rotate(config: CompiledConfig) -> tuple[CompiledConfig, list[Outcome]]:
    """`config` with its secrets as their files have them now. One that cannot be used stays as it is."""
    changed: list[Secret] = []
    outcomes: list[Outcome] = []
    for secret in config.secrets:
        found = newer(secret)
        if isinstance(found, Unusable):
            outcomes.append(_outcome(secret, found))
        elif found is not secret:
            changed.append(found)
    rotated = _with(config, changed)
    if not _fault(config, rotated):
        return rotated, [*outcomes, *map(_outcome, changed)]
    for secret in changed:  # one by one: the others are not to suffer
        rotated = _with(config, [secret])
        reason = _fault(config, rotated)
        outcomes.append(_outcome(secret, Unusable(reason, unreadable=False) if reason else None))
        config = config if reason else rotated
    return config, outcomes


def _outcome(secret: Secret, fault: Unusable | None = None) -> Outcome:
    reason, unreadable = fault or ("", False)
    return Outcome(secret.name, secret.path, secret.watched_directory, reason, unreadable)


def _with(config: CompiledConfig, changed: Sequence[Secret]) -> CompiledConfig:
    by_key = {secret.key: secret for secret in changed}
    return with_secrets(config, tuple(by_key.get(secret.key, secret) for secret in config.secrets))


def settle(config: CompiledConfig, known: Sequence[Secret]) -> CompiledConfig:
    """`config` with those of the `known` secrets that say the same as its own: when they came is not forgotten."""
    by_key = {secret.key: secret for secret in known}
    return msgspec.structs.replace(
        config, secrets=tuple(_older(secret, by_key.get(secret.key)) for secret in config.secrets)
    )


def with_newest(config: CompiledConfig, known: Sequence[Secret]) -> CompiledConfig:
    """An earlier `config`, which is to be in effect again, with the secrets of today."""
    return rotate(_with(config, known))[0]


def _older(secret: Secret, known: Secret | None) -> Secret:
    return known if known is not None and msgspec.structs.replace(secret, updated=known.updated) == known else secret


def _fault(before: CompiledConfig, now: CompiledConfig) -> str:
    """Why one of the TLS contexts that have changed cannot be made; "" if all can."""
    pairs = zip(contexts((before.listeners, before.clusters)), contexts((now.listeners, now.clusters)), strict=True)
    for old, new in pairs:
        if old == new:
            continue
        if new.validation is not None and new.validation.without_trust:
            return WITHOUT_TRUST[new.validation.without_trust[0]]
        try:
            stats = TlsStats(MemoryStats(), "")
            ServerTls(new, stats) if isinstance(new, DownstreamTls) else ClientTls(new, stats)
        except TlsConfigError as error:
            return str(error)
    return ""
