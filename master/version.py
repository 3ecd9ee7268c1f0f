"""The version of this program."""

from __future__ import annotations

import importlib.metadata
import ssl

ENVOY_API = "1.40.0"
"""The Envoy whose configuration, stats and admin formats we follow."""


def version() -> str:
    """Of the installed distribution; `0+source` when run from a source tree."""
    try:
        return importlib.metadata.version("trireme-proxy")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"


def build_version() -> str:
    """In Envoy's five parts: revision/version/tree/build type/TLS library."""
    library = "".join(ssl.OPENSSL_VERSION.split()[:1]) or "OpenSSL"
    return f"trireme/{version()}/Clean/RELEASE/{library}"
