"""The parts of an authority: host and port (`HeaderUtility::getPortStart`)."""

from __future__ import annotations


def port_start(authority: bytes) -> int:
    """Where the colon in front of the port stands, if there is a port, however malformed; else -1."""
    colon = authority.rfind(b":")
    return colon if colon > authority.rfind(b"]") else -1


def without_port(authority: bytes) -> bytes:
    """`authority` up to its port."""
    colon = port_start(authority)
    return authority if colon < 0 else authority[:colon]
