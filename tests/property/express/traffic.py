"""What clients and hosts say, plain and less plain, as HTTP/1 has it."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st


class Answer(NamedTuple):
    """What the origin sends for one request, in these pieces; `closes` afterwards."""

    pieces: tuple[bytes, ...]
    closes: bool = False

    def __repr__(self) -> str:  # Hypothesis writes it, and some are long
        return f"Answer({[(len(piece), piece[:200]) for piece in self.pieces]}, closes={self.closes})"


class Step(NamedTuple):
    """`answer`: as its host understands it."""

    request: bytes
    answer: Any


def sized(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, b"".join(lines), len(body), body)


LINES = st.lists(
    st.sampled_from(
        [
            b"User-Agent: curl/8.5.0\r\n",
            b"Accept: */*\r\n",
            b"accept-encoding: gzip, deflate, br\r\n",
            b"Cookie: a=b; c=d\r\n",
            b"x-request-id: 7a1d3f9e-0000-4000-8000-000000000001\r\n",
            b"x-request-id: 7a1d3f9e-0000-4000-8000-000000000002\r\n",
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\r\n",
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01\r\n",
            b"TraceParent:100%25-%b\r\n",
            b"tracestate: a b\r\n",
            b"b3: 1\r\n",
            b"x-forwarded-for: 10.1.2.3\r\n",
            b"X-Forwarded-Proto: https\r\n",
            b"x-envoy-upstream-rq-timeout-ms: 9000\r\n",
            b"x-envoy-internal: true\r\n",
            b"te: trailers\r\n",
            b"Connection: keep-alive\r\n",
            b"Upgrade-Insecure-Requests: 1\r\n",
            b"empty:\r\n",
            b"odd:\t tab\t\r\n",
            b"x_under: score\r\n",
            b"x-host: theirs.test\r\n",
            b"x-cluster: origin\r\n",
            b"Upgrade-Insecure-Requests: 1\r\n",
        ]
    ),
    max_size=5,
    unique=True,
)
PATHS = st.sampled_from(
    [b"/", b"/a", b"/a?b=c", b"/deep/er/~x;y=1", b"/none/x", b"/%20", b"/%22quote", b"/a/../b", b"//a%2fb"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = b"".join(draw(LINES))
    path = draw(PATHS)
    match draw(st.sampled_from(["GET"] * 6 + ["POST", "chunked", "HEAD", "DELETE", "OPTIONS"])):
        case "POST":
            body = draw(st.binary(min_size=1, max_size=40))
            return b"POST %b HTTP/1.1\r\nhost: o\r\n%bcontent-length: %d\r\n\r\n%b" % (path, lines, len(body), body)
        case "chunked":
            head = b"PUT %b HTTP/1.1\r\nhost: o\r\n%btransfer-encoding: chunked\r\n\r\n" % (path, lines)
            return head + b"3\r\nabc\r\n0\r\n\r\n"
        case method:
            host = draw(st.sampled_from([b"o", b"o", b"o.", b"o:80"]))
            return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method.encode(), path, host, lines)


ANSWERS = st.sampled_from(
    [
        *[Answer((sized(b"hello", b"server: nginx\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n"),))] * 4,
        Answer((sized(b"hello", b"content-type: text/plain\r\n"),)),
        Answer((sized(b""),)),
        Answer((sized(b"x" * 3000)[:1000], sized(b"x" * 3000)[1000:])),
        Answer((sized(b"y" * 30)[:20], sized(b"y" * 30)[20:])),
        Answer((sized(b"no", status=b"404 Not Found"),)),
        Answer((sized(b"bad", status=b"503 Service Unavailable"),)),
        Answer((b"HTTP/1.1 204 No Content\r\n\r\n",)),
        Answer((b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",)),
        Answer((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",)),
        Answer((b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", sized(b"late"))),
        Answer((sized(b"bye", b"connection: close\r\n"),), closes=True),
        Answer((b"HTTP/1.1 200 OK\r\n\r\nuntil the end",), closes=True),
        Answer((), closes=True),
        Answer((sized(b"cut short")[:-3],), closes=True),
        Answer((sized(b"x", b"x-envoy-upstream-canary: true\r\n"),)),
        Answer((sized(b"x", b"X-Envoy-Upstream-Service-Time: 77\r\n"),)),
    ]
)
SCRIPTS = st.lists(st.builds(Step, requests(), ANSWERS), min_size=1, max_size=6)

PLAIN = Answer((sized(b"hello", b"server: nginx\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n"),))
LONG = Answer((sized(b"z" * 200_000),))  # several reads
GET = b"GET / HTTP/1.1\r\nhost: o\r\n\r\n"
TRACED = [Step(b"GET / HTTP/1.1\r\nhost: o\r\ntraceparent: %d\r\n\r\n" % number, PLAIN) for number in range(4)]
POST = b"POST /a HTTP/1.1\r\nhost: o\r\ncontent-length: 3\r\n\r\nabc"
OF_MANY_PATHS = [
    Step(b"GET %b HTTP/1.1\r\nhost: o\r\n\r\n" % path, PLAIN) for path in (b"/", b"/a//b?c/d", b"/", b"/%20", b"/a?/")
]
