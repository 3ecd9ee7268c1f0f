"""How a YAML scalar becomes a string, a number, a boolean or a free value: the running Envoy and our loader.

Each case is the endpoint file of one EDS cluster, so a single Envoy takes or refuses every case by itself. What it took
is read back from its /config_dump; nothing that is expected is stored here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from master.config import strict, validate_rules, yaml_source
from master.config.source import Source
from tests.kit.envoy import Envoy
from tests.kit.process import wait_for

pytestmark = pytest.mark.parity("rule 65")

# (rule, scalar as it stands in the file)
SCALARS = [
    ("a word is a string", "word"),
    ("double quotes make a string", '"12"'),
    ("single quotes make a string", "'true'"),
    ("an explicit tag ! makes a string", "! 12"),
    ("!!str does not make a string", "!!str 12"),
    ("!!int does not make a number", '!!int "12"'),
    ("a tag of its own changes nothing", "!mine 12"),
    ("a tag of its own resolves what is quoted", '!mine "12"'),
    ("a tagged null is text", "!mine null"),
    ("decimal", "12"),
    ("a sign", "+12"),
    ("minus", "-12"),
    ("minus zero", "-0"),
    ("zero", "0"),
    ("a leading 0 is octal", "017"),
    ("a leading 0 with a digit above 7 is text, and so decimal", "019"),
    ("hexadecimal", "0x1F"),
    ("hexadecimal, quoted", '"0x1F"'),
    ("hexadecimal without digits", "0x"),
    ("0o of YAML 1.2 is text", "0o17"),
    ("0b of YAML 1.1 is text", "0b11"),
    ("an underscore is no part of a number", "1_000"),
    ("sexagesimal of YAML 1.1 is text", "1:30"),
    ("a fraction that is whole", "12.0"),
    ("a fraction", "1.5"),
    ("a point at the end", "12."),
    ("exponent", "1e3"),
    ("exponent, quoted", '"1e3"'),
    ("quoted with a space", '" 12"'),
    ("just below 2^31", "2147483647"),
    ("2^31", "2147483648"),
    ("2^32 - 1", "4294967295"),
    ("2^32", "4294967296"),
    ("2^63", "9223372036854775808"),
    ("a date is a string", "2026-01-31"),
    ("infinity of YAML", ".inf"),
    ("not a number of YAML", ".nan"),
    ("true", "true"),
    ("True", "True"),
    ("TRUE", "TRUE"),
    ("tRUE is text", "tRUE"),
    ("yes", "yes"),
    ("on", "on"),
    ("y", "y"),
    ("N", "N"),
    ("Off", "Off"),
    ("oFF is text", "oFF"),
    ("yes, quoted", '"yes"'),
    ("on, quoted", '"on"'),
    ("1, quoted", '"1"'),
    ("null", "null"),
    ("Null", "Null"),
    ("nULL is text", "nULL"),
    ("tilde", "~"),
    ("tilde, quoted", '"~"'),
    ("empty", ""),
    ("empty, quoted", '""'),
    ("a block scalar is a string", "|-\n              12"),
    ("a folded scalar is a string", ">-\n              true"),
    ("equals sign", "="),
    ("merge sign", "<<"),
    ("a plain scalar over two lines", "1\n              2"),
]

PLACES = {
    "string": ("locality", "zone"),
    "number": ("lb_endpoints", 0, "load_balancing_weight"),
    "bool": ("lb_endpoints", 0, "endpoint", "health_check_config", "disable_active_health_check"),
    "value": ("lb_endpoints", 0, "metadata", "filter_metadata", "case", "value"),
}

ASSIGNMENT = """\
resources:
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: {name}
  endpoints:
  - locality:
      region: r
{string}
    lb_endpoints:
    - endpoint:
        address: {{socket_address: {{address: 127.0.0.1, port_value: 9}}}}
        health_check_config:
          hostname: h
{bool}
{number}
      metadata:
        filter_metadata:
          case:
            here: true
{value}
"""

LINES = {
    "string": "      zone: {}",
    "number": "      load_balancing_weight: {}",
    "bool": "          disable_active_health_check: {}",
    "value": "            value: {}",
}

CLUSTER = """
  - name: {name}
    type: EDS
    connect_timeout: 1s
    eds_cluster_config:
      eds_config: {{path_config_source: {{path: "{path}"}}, initial_fetch_timeout: 3s}}
"""

# Envoy watches each file with an inotify instance of its own, of which a user has 128.
BATCH = 30

CASES = [
    pytest.param(f"{kind}_{number}", kind, scalar, id=f"{kind}: {rule}")
    for number, (rule, scalar) in enumerate(SCALARS)
    for kind in PLACES
]


@dataclass(frozen=True)
class Oracle:
    """What Envoy took: the endpoints of each accepted cluster, by its name."""

    taken: dict[str, Any]
    refused: frozenset[str]


def _file(name: str, kind: str, scalar: str) -> str:
    lines = dict.fromkeys(LINES, "") | {kind: LINES[kind].format(scalar)}
    return ASSIGNMENT.format(name=name, **lines)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    taken: dict[str, Any] = {}
    refused: set[str] = set()
    for start in range(0, len(CASES), BATCH):
        _ask(tmp_path_factory.mktemp("eds"), [case.values for case in CASES[start : start + BATCH]], taken, refused)
    _read_booleans([case.values for case in CASES if case.values[0] not in refused], taken)
    return Oracle(taken, frozenset(refused))


def _read_booleans(accepted: list[Any], taken: dict[str, Any]) -> None:
    """Envoy dumps no boolean of an endpoint, but each of a static cluster."""
    clusters = "static_resources:\n  clusters:\n"
    for name, kind, scalar in accepted:
        if kind == "bool":
            clusters += f"  - name: {name}\n    connect_timeout: 1s\n    ignore_health_on_host_removal: {scalar}\n"
    with Envoy("node: {id: scalars, cluster: scalars}", arguments=("--config-yaml", clusters)) as envoy:
        dump = json.loads(envoy.admin("/config_dump?resource=static_clusters").body)
    for entry in dump["configs"]:
        cluster = entry["cluster"]
        taken[cluster["name"]] = _nested(PLACES["bool"], cluster.get("ignore_health_on_host_removal"))


def _nested(path: tuple[str | int, ...], value: Any) -> Any:
    for part in reversed(path):
        value = [value] if part == 0 else {part: value}
    return value


def _ask(folder: Path, cases: list[Any], taken: dict[str, Any], refused: set[str]) -> None:
    """Runs Envoy on `cases`."""
    bootstrap = "node: {id: scalars, cluster: scalars}\nstatic_resources:\n  clusters:"
    for name, kind, scalar in cases:
        (folder / f"{name}.yaml").write_text(_file(name, kind, scalar))
        bootstrap += CLUSTER.format(name=name, path=folder / f"{name}.yaml")
    names = [name for name, _, _ in cases]
    with Envoy(bootstrap) as envoy:
        stats: dict[str, int] = {}

        def decided() -> bool:
            stats.update(envoy.stats())
            return all(_updates(stats, name, "success", "rejected", "failure") for name in names)

        wait_for(decided, deadline=30, what="Envoy decided on every case")
        dump = json.loads(envoy.admin("/config_dump?include_eds").body)
        configs = next(part for part in dump["configs"] if part["@type"].endswith("EndpointsConfigDump"))
        for entry in configs["static_endpoint_configs"]:
            assignment = entry["endpoint_config"]
            if assignment.get("endpoints"):
                taken[assignment["cluster_name"]] = assignment["endpoints"][0]
        refused.update(name for name in names if not _updates(stats, name, "success"))


def _updates(stats: dict[str, int], name: str, *outcomes: str) -> int:
    return sum(stats.get(f"cluster.{name}.update_{outcome}", 0) for outcome in outcomes)


def _ours(text: str) -> tuple[list[Any], Any]:
    parsed = yaml_source.parse(Source("case.yaml", text, "yaml"))
    message = discovery_pb2.DiscoveryResponse()
    findings = list(parsed.findings) + strict.fill(message, parsed.root)
    findings += validate_rules.validate(message)
    if findings:
        return findings, None
    tree = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return [], tree["resources"][0]["endpoints"][0]


def _at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        if isinstance(tree, dict) and part not in tree:
            return None
        tree = tree[part]
    return tree


@pytest.mark.parametrize(("name", "kind", "scalar"), CASES)
def test_scalar(oracle: Oracle, name: str, kind: str, scalar: str) -> None:
    findings, endpoints = _ours(_file(name, kind, scalar))
    assert bool(findings) == (name in oracle.refused), findings
    if findings:
        assert all(finding.message for finding in findings)
        return
    theirs = _at(oracle.taken[name], PLACES[kind])
    ours = _at(endpoints, PLACES[kind])
    # The dump writes values that nobody set: the weight 1, the empty zone.
    default = {"string": "", "number": 1, "bool": False, "value": None}[kind]
    assert (default if ours is None else ours) == (default if theirs is None else theirs)
