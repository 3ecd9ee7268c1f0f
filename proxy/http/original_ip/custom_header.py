"""`envoy.http.original_ip_detection.custom_header`: the client's address in a header of the operator's choice."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.common import Address
from proxy.config.context import CompileContext
from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.http.original_ip.detection import Detection, address_of

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig": (
        "header_name",
        "allow_extension_to_set_address_as_trusted",
        "reject_with_status",
    ),
    "envoy.type.v3.HttpStatus": ("code",),
}

DETAIL = "rejecting_because_detection_failed"
_FORBIDDEN = 403
_ERRORS = 400


class CustomHeader:
    """Never touches `x-forwarded-for`."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`CustomHeaderConfig`. `reject_status` is the status of requests without an address; 0 lets them through."""

        header_name: str
        trusted: bool = False
        reject_status: int = 0

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `CustomHeaderConfig`. What is no error status means 403, as in Envoy."""
        status = 0
        if message.HasField("reject_with_status"):
            code = message.reject_with_status.code
            status = code if code >= _ERRORS else _FORBIDDEN
        return cls.Config(message.header_name.lower(), message.allow_extension_to_set_address_as_trusted, status)

    def __init__(self, config: Config) -> None:
        self._name = config.header_name.encode()
        self._trusted = config.trusted
        self._reject_status = config.reject_status

    def detect(self, headers: Headers, xff: bytes | None, peer: Address) -> Detection:
        value = headers.get(self._name)
        address = None if value is None else address_of(value)
        if address is None and self._reject_status:
            raise ProxyError(DETAIL, side="downstream", status=self._reject_status)
        return Detection(address, self._trusted)
