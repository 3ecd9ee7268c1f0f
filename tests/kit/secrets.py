"""Files of secrets (`DiscoveryResponse`), and pairs of files that are put in place as careful people do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.kit import field_audit
from tests.kit.certificates import Pair

TLS = "envoy.extensions.transport_sockets.tls.v3"


def put(path: Path, text: str) -> None:
    """Write `path` beside, and move it into place."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.rename(path)


def put_secret(path: Path, name: str, **fields: Any) -> dict[str, Any]:
    """Put a file of one secret in place; returns the `SdsSecretConfig` that asks for it."""
    secret = {"@type": f"type.googleapis.com/{TLS}.Secret", "name": name, **fields}
    text = json.dumps({"version_info": "1", "resources": [secret]})
    put(path, field_audit.cut(text, "envoy.service.discovery.v3.DiscoveryResponse"))
    return wanted(name, path)


def wanted(name: str, path: Path) -> dict[str, Any]:
    """An `SdsSecretConfig`."""
    return {"name": name, "sds_config": {"path_config_source": {"path": str(path)}}}


def put_pair(directory: Path, pair: Pair) -> dict[str, Any]:
    """Put certificate and key in place; returns the `TlsCertificate` that names them."""
    put(directory / "tls.key", pair.key)
    put(directory / "tls.crt", pair.chain)
    return files(directory)


def files(directory: Path) -> dict[str, Any]:
    """The `TlsCertificate` of the pair in `directory`."""
    return {
        "certificate_chain": {"filename": str(directory / "tls.crt")},
        "private_key": {"filename": str(directory / "tls.key")},
    }
