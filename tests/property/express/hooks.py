"""Filters that never wait, of all that hooks may do to an exchange: what `test_express_hooks` draws from."""

from __future__ import annotations

import contextvars

from proxy.python_filter import Exchange, Filter, Flag, ResponseHead, local_reply

SHORT = 5

WHO: contextvars.ContextVar[bytes] = contextvars.ContextVar("who")


class Stamp(Filter):
    """Edits of both heads that are another one with each request."""

    def on_request_headers(self, exchange: Exchange) -> None:
        request = exchange.request
        request.headers.set(b"x-seen", b"%b %d" % (request.path, len(request.headers.get(b"x-request-id") or b"")))
        request.headers.remove(b"cookie")

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set(b"x-for", exchange.request.path)
        head.headers.remove(b"date")


class Deny(Filter):
    """Answers itself, or fails, at the request."""

    def on_request_headers(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        if headers.get(b"x-host") is not None:
            raise local_reply(403, "no\n", detail="denied", flag=Flag.RATE_LIMITED)
        if headers.get(b"te") is not None:
            raise KeyError("te")


class Refuse(Filter):
    """Answers in the upstream's place, or fails, at the response; others in its place say another status."""

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        if head.headers.get(b"content-type") == b"text/plain":
            raise local_reply(502, "not this\n", detail="refused")
        if head.status == 503:
            raise KeyError("status")
        if head.status == 404:
            head.status = 410


class Told(Filter):
    """What its request hook has set is there for its response hook."""

    def on_request_headers(self, exchange: Exchange) -> None:
        WHO.set(exchange.request.method)
        exchange.info.set_dynamic_metadata("told", {"path": exchange.request.path.decode("latin-1")})

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        info = exchange.info
        told = [WHO.get(b"nobody"), str(info.upstream_host is None).encode(), info.detail.encode()]
        told += [b"%d %d" % (info.upstream_attempts, info.bytes_received), str(info.request_complete).encode()]
        head.headers.add(b"x-told", b", ".join(told))


class Readdress(Filter):
    """Makes another request of it."""

    def on_request_headers(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.path.startswith(b"/a"):
            request.path = b"/none/x"
            exchange.clear_route_cache()
        elif request.path == b"/%20":
            request.path, request.authority = b"/b c", b"elsewhere"
        elif request.path == b"/deep/er/~x;y=1":
            request.headers.add(b"connection", b"close")
        elif request.method == b"DELETE":
            request.method = b"OPTIONS"


class _Louder:
    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"!"


class Louder(Filter):
    """Changes bodies, and what heads say of them."""

    def on_request_headers(self, exchange: Exchange) -> None:
        if exchange.request.method == b"POST":
            exchange.request.headers.remove(b"content-length")
            exchange.body.transform(_Louder())
        if exchange.request.path == b"/a?b=c":
            exchange.transform_response(_Louder())

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        if int(head.headers.get(b"content-length") or 99) > SHORT:
            return  # it may come in pieces: how many chunks are made of them is the general path's
        if exchange.request.path == b"/%22quote":
            exchange.transform_response(_Louder())
        elif exchange.request.path == b"/a":
            head.headers.remove(b"content-length")
        elif exchange.request.path == b"//a%2fb":
            exchange.close = True


ALL = (Stamp, Deny, Refuse, Told, Readdress, Louder)
