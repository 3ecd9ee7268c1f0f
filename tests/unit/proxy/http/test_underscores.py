"""Header names with an underscore."""

from __future__ import annotations

import pytest

from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.http.underscores import drop_underscores, refuse_underscores


def test_they_are_dropped_and_counted() -> None:
    headers = Headers([(b"a", b"_"), (b"x_forwarded_for", b"1"), (b"_", b"2")])
    assert drop_underscores(headers) == 2
    assert headers.items == [(b"a", b"_")]
    assert drop_underscores(headers) == 0


def test_they_are_refused() -> None:
    refuse_underscores(Headers([(b"a", b"_")]))
    with pytest.raises(ProxyError, match="unexpected_underscore") as caught:
        refuse_underscores(Headers([(b"a_b", b"")]))
    assert (caught.value.status, caught.value.close) == (400, True)
