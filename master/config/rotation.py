"""Secrets read again from their files, for the configuration that is in effect: nothing else of it is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from master.config.compile.tls import WITHOUT_TRUST
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
    """What came of one secret: another one (`changed`), or the same as before, for the reason `error` if there is one.
    `unreadable`: its file is no list of secrets.
    """

    key: str
    changed: bool = False
    error: str = ""
    unreadable: bool = False


def rotate(config: CompiledConfig) -> tuple[CompiledConfig, list[Outcome]]:
    """`config` with its secrets as their files have them now. One that cannot be used stays as it is."""
    before, after, outcomes = config.secrets, [], []
    for secret in before:
        found = newer(secret)
        if isinstance(found, Secret):
            after.append(found)
            outcomes.append(Outcome(secret.key, changed=found is not secret))
        else:
            after.append(secret)
            outcomes.append(Outcome(secret.key, error=found.reason, unreadable=found.unreadable))
    rotated = with_secrets(config, tuple(after))
    if reason := _fault(config, rotated):
        failed = [
            msgspec.structs.replace(each, changed=False, error=reason) if each.changed else each for each in outcomes
        ]
        return config, failed
    return rotated, outcomes


def settle(config: CompiledConfig, known: Sequence[Secret]) -> CompiledConfig:
    """`config` with those of the `known` secrets that say the same as its own: when they came is not forgotten."""
    by_key = {secret.key: secret for secret in known}
    return msgspec.structs.replace(
        config, secrets=tuple(_older(secret, by_key.get(secret.key)) for secret in config.secrets)
    )


def with_newest(config: CompiledConfig, known: Sequence[Secret]) -> CompiledConfig:
    """An earlier `config`, which is to be in effect again, with the secrets of today."""
    by_key = {secret.key: secret for secret in known}
    return rotate(with_secrets(config, tuple(by_key.get(secret.key, secret) for secret in config.secrets)))[0]


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
