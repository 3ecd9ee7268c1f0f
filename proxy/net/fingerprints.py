"""JA3 and JA4: what a client's first TLS message tells of the program that sent it, as Envoy's `tls_inspector` writes
them (`TlsInspector::Filter::createJA3Hash`, `JA4Fingerprinter`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from proxy.net.client_hello import NotTls, Reader

_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43  # extensions
_NAMES = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10"}
_GREASE = frozenset(0x0A0A + 0x1010 * step for step in range(16))  # RFC 8701: says nothing of who sends it
_NOTHING = "0" * 12
_MOST = 99  # what two digits can say


class _Parts(NamedTuple):
    version: int
    ciphers: list[int]
    extensions: dict[int, bytes]


def ja3(message: bytes) -> str:
    """Of the body of a ClientHello. Raises `NotTls` on anything else."""
    parts = _parts(message)
    lists = (
        parts.ciphers,
        [kind for kind in parts.extensions if kind not in _GREASE],
        _numbers(parts.extensions.get(_GROUPS, b"")[2:], 2),
        _numbers(parts.extensions.get(_POINT_FORMATS, b"")[1:], 1),
    )
    text = ",".join([str(parts.version), *("-".join(map(str, each)) for each in lists)])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def ja4(message: bytes) -> str:
    """Of the body of a ClientHello. Raises `NotTls` on anything else."""
    version, ciphers, extensions = _parts(message)
    kinds = [kind for kind in extensions if kind not in _GREASE]
    offered = [number for number in _numbers(extensions.get(_VERSIONS, b"")[1:], 2) if number not in _GREASE]
    asks = "d" if _SERVER_NAME in extensions else "i"
    counts = f"{min(len(ciphers), _MOST):02}{min(len(kinds), _MOST):02}"
    head = f"t{_NAMES.get(max(offered, default=version), '00')}{asks}{counts}{_application(extensions)}"
    others = _hex(sorted(kind for kind in kinds if kind not in (_SERVER_NAME, _ALPN)))
    signatures = _hex(_numbers(extensions.get(_SIGNATURES, b"")[2:], 2))
    asked = f"{others}_{signatures}" if others and signatures else others
    return f"{head}_{_digest(_hex(sorted(ciphers)))}_{_digest(asked)}"


def _parts(message: bytes) -> _Parts:
    hello = Reader(message)
    version = hello.number(2)
    hello.take(32)  # random
    hello.vector(1)  # session id
    ciphers = [number for number in _numbers(hello.vector(2).bytes(), 2) if number not in _GREASE]
    hello.vector(1)  # compression methods
    found: dict[int, bytes] = {}
    extensions = hello.vector(2) if hello else Reader(b"")
    while extensions:
        kind = extensions.number(2)
        if kind in found:
            raise NotTls  # RFC 8446 section 4.2: each comes once
        found[kind] = extensions.vector(2).bytes()
    return _Parts(version, ciphers, found)


def _numbers(data: bytes, size: int) -> list[int]:
    return [int.from_bytes(data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def _application(extensions: dict[int, bytes]) -> str:
    """The first and the last character of the first protocol in ALPN; half a byte of each where they are no such."""
    listed = extensions.get(_ALPN, b"")[2:]
    name = listed[1 : 1 + listed[0]] if listed else b""
    if not name:
        return "00"
    ends = bytes((name[0], name[-1]))
    return ends.decode() if ends.isalnum() else f"{name[0] >> 4:x}{name[-1] & 15:x}"


def _hex(numbers: Iterable[int]) -> str:
    return ",".join(f"{number:04x}" for number in numbers)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else _NOTHING
