"""What is asked of `explain`, made the head that a client would send. Pure; every input has a bound."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.explain.trial import LIKELIEST

MAX_HEAD = 64 * 1024
"""Bytes of the request's head: what proxies take by default, and a little more."""
MAX_HEADERS = 256
NO_HOST = "localhost"
"""Whom a path alone asks."""

_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*))?(?P<path>[^#]*)")
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
_PORTS = {"http": 80, "https": 443}


class QuestionError(ValueError):
    """Nobody could send that; the message says what to write instead."""


class Question(NamedTuple):
    """`head` is the request's. `host` and `port` are whom a client would connect to, "" and 0 where the URL does not
    say; `secure`: by TLS. `listener`: the name of the one that is meant, "" for the one at `host` and `port`. `source`
    is the client's address; `drawn` decides where chance would.
    """

    method: str
    url: str
    head: bytes
    host: str
    port: int
    secure: bool
    listener: str
    source: Address
    drawn: int


def read(
    method: str,
    url: str,
    headers: Iterable[str] = (),
    *,
    source: str = "",
    listener: str = "",
    drawn: str = "",
) -> Question:
    """Raises `QuestionError`. `headers` are lines (`name: value`); one for `host` takes the place of the URL's."""
    if not method or _UNSENDABLE.search(method) or not method.isascii():
        raise QuestionError(f"{method!r} is no method, such as GET")
    if _UNSENDABLE.search(url) or not url:
        raise QuestionError(f"{url!r} is no URL: spaces and control characters have to be encoded (%20)")
    scheme, authority, target = _target(method, url)
    host, port = _host_and_port(authority, url)
    lines = [_line(header) for header in headers]
    if len(lines) > MAX_HEADERS:
        raise QuestionError(f"at most {MAX_HEADERS} header lines are allowed")
    if not any(name.lower() == "host" for name, _ in lines):
        lines.insert(0, ("host", authority or NO_HOST))
    text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
    head = text.encode(errors="surrogateescape")
    if len(head) > MAX_HEAD:
        raise QuestionError(f"the request has {len(head)} bytes; at most {MAX_HEAD} are allowed")
    return Question(
        method,
        url,
        head,
        host,
        port or _PORTS.get(scheme, 0),
        scheme == "https",
        listener,
        _source(source),
        _drawn(drawn),
    )


def _target(method: str, url: str) -> tuple[str, str, str]:
    """(scheme, authority, what stands in the request line)."""
    if method == "CONNECT":
        authority = url.partition("://")[2].rstrip("/") if "://" in url else url
        return "", authority, authority
    parts = _URL.match(url)
    assert parts is not None  # it matches the empty text
    scheme, path = (parts["scheme"] or "").lower(), parts["path"]
    if scheme and scheme not in _PORTS:
        raise QuestionError(f"{url!r}: the scheme is http or https")
    if not scheme and not (path.startswith("/") or path == "*"):
        raise QuestionError(f"{url!r} is neither a URL, such as http://host:8080/path, nor a path that begins with /")
    if "@" in (parts["authority"] or ""):
        raise QuestionError(f"{url!r}: name and password do not belong in a request")
    return scheme, parts["authority"] or "", path if path.startswith("/") or path == "*" else "/" + path


def _host_and_port(authority: str, url: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{0,5}))?", authority)
    if match is None or int(match[2] or 0) > 65535:
        raise QuestionError(f"{url!r}: {authority!r} is no host, or no host:port")
    return match[1].strip("[]").lower(), int(match[2] or 0)


def _line(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise QuestionError(f"{text!r} is no header line, such as 'x-env: prod'")
    if any(char in text for char in "\r\n\0"):
        raise QuestionError(f"{text!r}: a header line has no line ends")
    return name.strip(), value.strip(" \t")


def _source(text: str) -> Address:
    """An IP address, with a port if need be, or the path of a Unix socket."""
    if not text:
        return SocketAddress("127.0.0.1", 0)
    if text.startswith(("/", "@")):
        return PipeAddress(text)
    host, port = text, 0
    if match := re.fullmatch(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?", text):
        host, port = match[1] or match[2] or "", int(match[3] or 0)
    try:
        return SocketAddress(str(ipaddress.ip_address(host)), port)
    except ValueError:
        raise QuestionError(f"{text!r} is no IP address that a request could come from") from None


def _drawn(text: str) -> int:
    if not text:
        return LIKELIEST
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64):
        raise QuestionError(f"{text!r} is no random value: a number below 2**64")
    return int(text)
