"""Secrets from files: `DiscoveryResponse`s of Envoy's secret discovery service, read from a path."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from master.config import any_types
from master.config.compile.context import Context
from master.config.compile.secrets import KINDS, Unusable, Value, compile_secret
from master.config.echo import without_echoes
from master.config.finding import Finding
from master.config.loader import load
from master.config.report import render
from master.config.source import Source
from master.config.source import read as read_source
from master.config.support import accepted_in_secrets
from master.config.unsupported import find_unsupported
from master.config.walk import unpack
from proxy.config.tls import Certificate, Secret, Validation

_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"
_REDACTED = b"[redacted]"
ATTEMPTS = 5
"""How often files are read until they stay the same meanwhile, as in Envoy: somebody may be about to replace them."""


def read_secret(name: str, path: str, watched_directory: str = "") -> Secret | Unusable:
    """The secret `name` in the file at `path`."""
    result = _read(name, path, watched_directory)
    for _ in range(ATTEMPTS - 1):
        if isinstance(result, Secret) and _unchanged(result):
            break
        before, result = result, _read(name, path, watched_directory)
        if isinstance(before, Unusable) and before == result:
            break
    return result


def _read(name: str, path: str, watched_directory: str) -> Secret | Unusable:
    source = read_source(path)
    if isinstance(source, Finding):
        return Unusable(source.message, unreadable=True)
    loaded = load([source], discovery_pb2.DiscoveryResponse)
    unsupported = find_unsupported(loaded.message, accepted_in_secrets()) if loaded.message is not None else []
    context = Context(unsupported=frozenset(finding.path for finding in unsupported))
    faults: list[Finding] = [*loaded.findings, *unsupported]
    secret = None
    if not faults:
        secret = _compile(name, source, watched_directory, loaded.message, context)
        faults = without_echoes(context.findings, loaded.findings)
    return secret or Unusable(render(faults, loaded.locate, color=False).strip(), unreadable=bool(loaded.findings))


def _compile(name: str, source: Source, watched_directory: str, response: Any, context: Context) -> Secret | None:
    """None for what is reported in `context`."""
    if len(response.resources) != 1:
        context.error(("resources",), f"{len(response.resources)} secrets are in the file", f"{name!r} alone")
        return None
    here = context.at("resources", 0)
    message: Any = unpack(response.resources[0])
    if any_types.split_url(response.resources[0].type_url) != _SECRET or message is None:
        here.error((), "this is no secret", f"@type: type.googleapis.com/{_SECRET}", kind="reference")
        return None
    if message.name != name:
        here.error(("name",), f"a secret of the name {message.name!r}", repr(name), kind="reference")
        return None
    value = compile_secret(message, here)
    if value is None:
        return None
    own = hashlib.sha256(source.text.encode()).digest()
    return Secret(
        name=name,
        path=source.name,
        value=value,
        watched_directory=watched_directory,
        watched=_watched(source.name, watched_directory, message, context),
        files={source.name: own, **context.files},
        version=response.version_info,
        source=_shown(message, value),
        updated=time.time(),
    )


def _shown(message: Any, value: Value) -> str:
    """The message as JSON, as Envoy shows it: what files hold in place of their names, and no key at all."""
    shown = secret_pb2.Secret()
    shown.CopyFrom(message)
    if isinstance(value, Certificate):
        _show(shown.tls_certificate.certificate_chain, value.chain)
        _show(shown.tls_certificate.ocsp_staple, value.ocsp)
        for name in ("private_key", "pkcs12", "password"):
            _show(getattr(shown.tls_certificate, name), _REDACTED)
    elif isinstance(value, Validation):
        _show(shown.validation_context.trusted_ca, value.trusted_ca)
        _show(shown.validation_context.crl, value.crl)
    else:
        for source in shown.session_ticket_keys.keys:
            _show(source, _REDACTED)
    return json_format.MessageToJson(shown, preserving_proto_field_name=True, indent=None)


def _show(source: Any, content: bytes) -> None:
    kind = source.WhichOneof("specifier")
    if kind == "inline_string":
        source.inline_string = content.decode()
    elif kind is not None:
        source.inline_bytes = content


def _unchanged(secret: Secret) -> bool:
    """Whether its files are what it was read from."""
    return all(_digest(path) == digest for path, digest in secret.files.items())


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return b""


def _watched(path: str, watched_directory: str, message: Any, context: Context) -> tuple[str, ...]:
    """Where a change may mean another secret. Files that it names are looked for in the directory that it names, or
    else in their own.
    """
    found = {watched_directory or str(Path(path).parent)}
    kind = message.WhichOneof("type")
    inner = getattr(message, kind)
    if kind != "session_ticket_keys" and inner.HasField("watched_directory"):
        found.add(inner.watched_directory.path)
    else:
        found.update(str(Path(file).parent) for file in context.files)
    return tuple(sorted(found))


def newer(secret: Secret) -> Secret | Unusable:
    """The same secret as its file has it now: the very same object if nothing has changed."""
    if _unchanged(secret):
        return secret
    found = read_secret(secret.name, secret.path, secret.watched_directory)
    if isinstance(found, Unusable):
        return found
    if type(found.value) is not type(secret.value):
        now, needed = KINDS[type(found.value)], KINDS[type(secret.value)]
        return Unusable(f"it is {now} now, and {needed} is needed", unreadable=False)
    return secret if msgspec.structs.replace(found, updated=secret.updated) == secret else found
