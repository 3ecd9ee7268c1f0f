"""The configuration that both proxies run, and the requests that go through it."""

from __future__ import annotations

from pathlib import Path

from bench import requests
from bench.configuration import Ports, tree
from bench.recording import normal
from bench.scenarios import SCENARIOS
from bench.scenarios.effort import QUICK, WHOLE
from bench.subjects import STARTERS
from bench.targets import TARGETS


def test_it_has_a_hundred_hosts_with_a_thousand_routes() -> None:
    manager = tree(Ports(1, 2, 3, 4))["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0][
        "typed_config"
    ]
    hosts = [host for host in manager["route_config"]["virtual_hosts"] if host["domains"] != [requests.RECORDED_HOST]]
    assert len(hosts) == 100
    assert sum(len(host["routes"]) for host in hosts) == 1_000
    (wanted,) = [host for host in hosts if host["domains"] == [requests.HOST]]
    matches = [route["match"].get("prefix", "-") for route in wanted["routes"]]
    first = next(number for number, prefix in enumerate(matches) if f"{requests.ROUTE}/small".startswith(prefix))
    assert first == 7  # neither the first nor the one for everything


def test_every_scenario_and_target_speaks_of_what_exists() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    subjects = {scenario.name: scenario.subjects(QUICK) for scenario in SCENARIOS}
    for scenario in SCENARIOS:
        assert set(scenario.subjects(WHOLE)) <= set(STARTERS)
    for target in TARGETS:
        assert {target.over, target.under} <= set(subjects[target.scenario])


def test_requests_have_as_many_headers_as_they_say() -> None:
    def lines(request: bytes) -> int:
        return request.partition(b"\r\n\r\n")[0].count(b"\r\n")

    assert lines(requests.get("small", requests.TEN)) == 10
    assert lines(requests.get("small", requests.FORTY)) == 40


def test_chunked_requests_are_framed() -> None:
    body = requests.post_chunked("exchange", 32 << 10).partition(b"\r\n\r\n")[2]
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    assert body == 2 * chunk + b"0\r\n\r\n"


def test_what_varies_from_request_to_request_is_no_difference() -> None:
    one = [("X-Request-Id", "0a0b0c0d-1111-4222-8333-444455556666"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT")]
    other = [("x-request-id", "ffffffff-1111-4222-8333-444455556666"), ("date", "Tue, 02 Jan 2024 00:00:00 GMT")]
    assert normal(one) == normal(other)
    assert normal([*one, ("x-tier", "gold")]) != normal(other)
    assert normal([*one, ("x-tier", "gold"), ("x-tier", "gold")]) != normal([*one, ("x-tier", "gold")])


def test_the_filters_directory_holds_what_the_configuration_names() -> None:
    from bench.subjects import trireme

    for path in (*trireme.FILTERS, *trireme.HOOKS):
        module, _, name = path.rpartition(".")
        source = (Path(trireme.__file__).parents[1] / "filters" / f"{module}.py").read_text()
        assert f"class {name}(Filter)" in source
