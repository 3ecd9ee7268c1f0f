"""Secrets by name (`Secret`, `SdsSecretConfig`): those of the bootstrap, and those that files hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from master.config.compile.tls_certificate import compile_certificate, refuse_watching
from master.config.compile.tls_ticket_keys import compile_ticket_keys
from master.config.compile.tls_validation import compile_validation
from master.config.suggest import nearest
from proxy.config.tls import Certificate, Secret, TicketKeys, TlsParameters, Validation, secret_key
from proxy.net.tls.context import TlsConfigError, load_trust, new_context

if TYPE_CHECKING:
    from master.config.compile.context import Context

_TLS = "envoy.extensions.transport_sockets.tls.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{_TLS}.Secret": ("name", "tls_certificate", "session_ticket_keys", "validation_context"),
    f"{_TLS}.SdsSecretConfig": ("name", "sds_config"),
    "envoy.config.core.v3.ConfigSource": ("path", "path_config_source"),
    "envoy.config.core.v3.PathConfigSource": ("path", "watched_directory"),
    "envoy.config.core.v3.WatchedDirectory": ("path",),
    "envoy.service.discovery.v3.DiscoveryResponse": ("resources", "version_info"),  # `master.config.sds` reads it
}

Value = Certificate | Validation | TicketKeys
Kind = TypeVar("Kind", Certificate, Validation, TicketKeys)


class Unusable(NamedTuple):
    """Why there is no secret, for a person; `unreadable`: because its file cannot be read as a list of secrets."""

    reason: str
    unreadable: bool


Read = Callable[[str, str, str], Secret | Unusable]
"""From a secret's name, its file and the directory to be watched."""

KINDS: dict[type, str] = {
    Certificate: "a tls_certificate",
    Validation: "a validation_context",
    TicketKeys: "session_ticket_keys",
}


class Secrets:
    """Those of one compilation. Each file is read once for each name that is asked of it."""

    def __init__(self, read: Read | None = None) -> None:
        self.from_files: dict[str, Secret] = {}
        self._read = read
        self._reasons: dict[str, str] = {}  # why one from a file is missing
        self._static: dict[str, Value | None] = {}  # None: what is wrong with it has been reported

    def declare(self, messages: Iterable[Any], context: Context) -> None:
        """Take those of the bootstrap; `context` stands for the list."""
        for index, message in enumerate(messages):
            here = context.at(index)
            if message.name in self._static:
                here.error(("name",), f"secret {message.name!r} exists already", "a name of its own", kind="duplicate")
            kind = message.WhichOneof("type")
            if kind in ("tls_certificate", "validation_context"):
                refuse_watching(getattr(message, kind), here.at(kind))
            self._static[message.name] = compile_secret(message, here)

    def find(self, wanted: Any, kind: type[Kind], context: Context) -> tuple[Kind | None, str]:
        """What an `SdsSecretConfig` asks for, and its key if it comes from a file, or ""; None for what is reported.
        `context` stands for it.
        """
        key = ""
        if not wanted.HasField("sds_config"):
            found = self._of_bootstrap(wanted.name, context)
        else:
            found, key = self._of_file(wanted, context)
        if found is None or isinstance(found, kind):
            return found, key
        context.error(("name",), f"secret {wanted.name!r} is {KINDS[type(found)]}", KINDS[kind], kind="reference")
        return None, ""

    def _of_bootstrap(self, name: str, context: Context) -> Value | None:
        if name not in self._static:
            context.error(
                ("name",),
                f"unknown secret {name!r}",
                "the name of a secret in static_resources.secrets, or an sds_config",
                kind="reference",
                suggestion=nearest(name, sorted(self._static)),
            )
        return self._static.get(name)

    def _of_file(self, wanted: Any, context: Context) -> tuple[Value | None, str]:
        """A source of another kind has been reported as not supported."""
        config, here = wanted.sds_config, context.at("sds_config")
        specifier = config.WhichOneof("config_source_specifier")
        if specifier == "path_config_source":
            source = config.path_config_source
            path, directory, place = source.path, source.watched_directory.path, here.at("path_config_source", "path")
        elif specifier == "path":
            path, directory, place = config.path, "", here.at("path")
        else:
            if specifier is None and not here.incomplete():
                here.error((), "the source of the secret is not said", "path_config_source")
            return None, ""
        key = secret_key(wanted.name, path, directory)
        if key not in self.from_files and key not in self._reasons:
            assert self._read is not None
            read = self._read(wanted.name, path, directory)
            if isinstance(read, Secret):
                self.from_files[key] = read
            else:
                self._reasons[key] = read.reason
        if key in self._reasons:
            place.error((), f"secret {wanted.name!r} cannot be had: {self._reasons[key]}", kind="file")
            return None, ""
        return self.from_files[key].value, key


def compile_secret(message: Any, context: Context) -> Value | None:
    """What is in a `Secret`, its name with it; None for what is reported."""
    value: Value | None = None
    kind = message.WhichOneof("type")
    if kind == "tls_certificate":
        value = compile_certificate(message.tls_certificate, context.at(kind))
    elif kind == "validation_context":
        value = compile_validation(message.validation_context, context.at(kind))
        _check_trust(value, context.at(kind))
    elif kind == "session_ticket_keys":
        value = compile_ticket_keys(message.session_ticket_keys, context.at(kind))
    elif kind is None and not context.incomplete():
        context.error((), "the secret is empty", "tls_certificate, validation_context or session_ticket_keys")
    if context.faulty() or value is None or isinstance(value, TicketKeys):
        return None if context.faulty() else value
    return msgspec.structs.replace(value, name=message.name)


def _check_trust(validation: Validation, context: Context) -> None:
    """Report what nobody could be held against."""
    if context.faulty():
        return
    try:
        load_trust(new_context(server=True, parameters=TlsParameters()), validation, server=True)
    except TlsConfigError as error:
        context.error((error.field,), str(error))
