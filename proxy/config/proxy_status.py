"""`HttpConnectionManager.ProxyStatusConfig`, compiled. Data only."""

from __future__ import annotations

import msgspec


class ProxyStatus(msgspec.Struct, frozen=True, gc=False):
    """`name` is what we are called there. `details`, `flags`: whether they are told. `recommends`: the response gets
    the status that RFC 9209 recommends for its error.
    """

    name: str
    details: bool = True
    flags: bool = True
    recommends: bool = False
