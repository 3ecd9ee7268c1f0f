"""The real Envoy starts on free ports and is gone afterwards."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.kit.client import get
from tests.kit.envoy import Envoy, validate, with_free_ports

BOOTSTRAP = """
static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }
    additional_addresses:
    - address: { socket_address: { address: 127.0.0.1, port_value: 10001 } }
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                direct_response: { status: 203, body: { inline_string: hello } }
"""


def test_envoy_serves_and_stops() -> None:
    with Envoy(BOOTSTRAP) as envoy:
        assert len(envoy.listeners["main"]) == 2
        for address in envoy.listeners["main"]:
            response = get(address)
            assert (response.status, response.body) == (203, b"hello")
        assert envoy.stats()["http.main.downstream_rq_total"] == 2
        process = psutil.Process(envoy.pid)
    assert not process.is_running()


def test_a_bad_bootstrap_shows_envoys_words() -> None:
    with pytest.raises(AssertionError, match="stat_prefixx"):
        Envoy(BOOTSTRAP.replace("stat_prefix", "stat_prefixx"))
    accepted, words = validate(BOOTSTRAP.replace("stat_prefix", "stat_prefixx"))
    assert not accepted
    assert "stat_prefixx" in words
    assert validate(BOOTSTRAP)[0]


def test_only_ports_change() -> None:
    bootstrap = "static_resources: {listeners: [{name: a, address: {pipe: {path: '{directory}/x'}}}]}\nnode: {id: n}"
    text = with_free_ports(bootstrap, Path("/somewhere"))
    assert "path: /somewhere/x" in text
    assert "id: n" in text
