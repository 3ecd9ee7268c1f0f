"""What is asked of `explain`, made a request's head: what a client would send, and nothing that it could not."""

from __future__ import annotations

import pytest

from master.explain.request.question import MAX_HEAD, Question, QuestionError, read
from proxy.config.common import PipeAddress, SocketAddress
from proxy.explain.trial import LIKELIEST


def test_a_url_is_the_request_that_a_client_sends() -> None:
    question = read("GET", "http://Shop.test:8080/a?b#part", ["x-env: prod", "empty:"])
    assert question == Question(
        "GET",
        "http://Shop.test:8080/a?b#part",
        b"GET /a?b HTTP/1.1\r\nhost: Shop.test:8080\r\nx-env: prod\r\nempty: \r\n\r\n",
        "shop.test",
        8080,
        False,
        "",
        SocketAddress("127.0.0.1", 0),
        LIKELIEST,
    )


@pytest.mark.parametrize(
    ("method", "url", "first", "host", "port"),
    [
        ("GET", "https://x.test", b"GET / HTTP/1.1", "x.test", 443),
        ("GET", "http://x.test?q", b"GET /?q HTTP/1.1", "x.test", 80),
        ("GET", "http://[::1]:81/", b"GET / HTTP/1.1", "::1", 81),
        ("GET", "/only/a/path", b"GET /only/a/path HTTP/1.1", "", 0),
        ("OPTIONS", "*", b"OPTIONS * HTTP/1.1", "", 0),
        ("CONNECT", "db.test:5432", b"CONNECT db.test:5432 HTTP/1.1", "db.test", 5432),
        ("CONNECT", "http://db.test:5432/", b"CONNECT db.test:5432 HTTP/1.1", "db.test", 5432),
    ],
)
def test_forms_of_targets(method: str, url: str, first: bytes, host: str, port: int) -> None:
    question = read(method, url)
    assert (question.head.partition(b"\r\n")[0], question.host, question.port) == (first, host, port)


def test_a_path_alone_asks_localhost() -> None:
    assert read("GET", "/a").head == b"GET /a HTTP/1.1\r\nhost: localhost\r\n\r\n"


def test_a_host_header_takes_the_place_of_the_urls() -> None:
    question = read("GET", "http://127.0.0.1:81/", ["Host: shop.test"])
    assert (question.head, question.host) == (b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", SocketAddress("10.0.0.1", 0)),
        ("10.0.0.1:5", SocketAddress("10.0.0.1", 5)),
        ("2001:DB8::1", SocketAddress("2001:db8::1", 0)),
        ("[::1]:5", SocketAddress("::1", 5)),
        ("/run/client", PipeAddress("/run/client")),
    ],
)
def test_sources(text: str, address: object) -> None:
    assert read("GET", "/", source=text).source == address


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("G T", "/"), "no method"),
        (("", "/"), "no method"),
        (("GET", "/a b"), "encoded"),
        (("GET", "/a\r\nx: y"), "encoded"),
        (("GET", ""), "no URL"),
        (("GET", "shop.test/a"), "neither a URL"),
        (("GET", "ftp://shop.test/"), "http or https"),
        (("GET", "http://u:p@shop.test/"), "password"),
        (("GET", "http://shop.test:99999/"), "no host"),
        (("GET", "/", ["novalue"]), "no header line"),
        (("GET", "/", [": x"]), "no header line"),
        (("GET", "/", ["a: b\r\nc: d"]), "line ends"),
        (("GET", "/", ["a: b"] * 257), "256"),
        (("GET", "/" + "x" * MAX_HEAD), "at most"),
    ],
)
def test_what_nobody_could_send_is_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(QuestionError, match=words):
        read(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "text"), [("source", "nowhere"), ("drawn", "-1"), ("drawn", str(2**64))])
def test_options_are_checked(name: str, text: str) -> None:
    with pytest.raises(QuestionError):
        read("GET", "/", **{name: text})  # type: ignore[arg-type]


def test_a_random_value() -> None:
    assert read("GET", "/", drawn="7").drawn == 7
