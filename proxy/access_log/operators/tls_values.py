"""How operators tell what is known of a TLS connection, whichever side it is on."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from proxy.access_log.operator import Build, Getter, Value, plain
from proxy.access_log.operators.clock import TimeFormat
from proxy.http.stream_info import StreamInfo

if TYPE_CHECKING:
    from proxy.net.tls.certificate import CertificateFacts
    from proxy.net.tls.session import TlsSession

ESCAPES = str.maketrans({"\n": "%0A", " ": "%20", "+": "%2B", "/": "%2F", "=": "%3D"})
DEFAULT_TIME = "%Y-%m-%dT%H:%M:%S.000Z"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SANS = {"DNS": "DNS", "URI": "URI", "EMAIL": "EMAIL", "IP": "IP_ADDRESS"}

Certificate = Callable[["TlsSession"], "CertificateFacts | None"]


def in_one_line(text: str) -> str:
    """Whoever shows a certificate has chosen what stands in it: no name in it ends a line of a log."""
    return text if text.isprintable() else _CONTROLS.sub(lambda found: f"\\{ord(found[0]):02X}", text)


def peer(tls: TlsSession) -> CertificateFacts | None:
    """The certificate of whom we speak to."""
    return tls.peer


def local(tls: TlsSession) -> CertificateFacts | None:
    """The certificate that we have shown."""
    return tls.local


class TlsValues:
    """Builders of operators about the connection that `session` finds."""

    def __init__(self, session: Callable[[StreamInfo], TlsSession | None]) -> None:
        self._session = session

    def text(self, get: Callable[[TlsSession], str]) -> Build:
        """What `get` says; nothing where that is ""."""

        def getter(info: StreamInfo) -> Value:
            tls = self._session(info)
            return None if tls is None else in_one_line(get(tls)).encode() or None

        return plain(getter)

    def fact(self, certificate: Certificate, get: Callable[[CertificateFacts], str]) -> Build:
        """What `get` says of a certificate, if there is one and it can be read."""

        def told(tls: TlsSession) -> str:
            found = certificate(tls)
            try:
                return "" if found is None else get(found)
            except ValueError:  # of a client that was turned away
                return ""

        return self.text(told)

    def chain(self, get: Callable[[CertificateFacts], str]) -> Build:
        """What `get` says of each certificate that the peer sent."""
        return self.text(lambda tls: ",".join(map(get, tls.peer_chain)))

    def moment(self, get: Callable[[CertificateFacts], datetime]) -> Build:
        """A time of the peer's certificate; the parameter is its format."""

        def build(parameter: str | None) -> Getter:
            time_format = TimeFormat(parameter or DEFAULT_TIME)

            def getter(info: StreamInfo) -> Value:
                tls = self._session(info)
                return None if tls is None or tls.peer is None else time_format(get(tls.peer).timestamp())

            return getter

        return build

    def sans(self, prefix: str, certificate: Certificate, names: Iterable[str]) -> dict[str, Build]:
        """`<prefix>_<name>_SAN` for each of `names`."""

        def joined(kind: str, facts: CertificateFacts) -> str:
            return ",".join(facts.names(kind))

        return {
            f"{prefix}_{name}_SAN": self.fact(certificate, functools.partial(joined, _SANS[name])) for name in names
        }
