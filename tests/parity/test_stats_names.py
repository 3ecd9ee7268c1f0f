"""Every name that the real Envoy shows is shown by ours: on the first scrape, after traffic, and for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.kit.proxy import Proxy
from tests.parity.test_stats_values import BOOTSTRAP, OURS_ALONE, REQUESTS

TYPES = ("Counters", "Gauges", "Histograms")

# Shown by one or the other depending on what happened to be asked of the admin interface before.
ADMIN_CLASSES = re.compile(r"(listener\.admin\.)?http\.admin\.downstream_rq_\dxx")


class Scrape(NamedTuple):
    """Stats by name with their type; lines of the Prometheus page without values."""

    stats: dict[str, str]
    series: set[str]


class Side(NamedTuple):
    first: Scrape
    last: Scrape


def anywhere(text: str) -> str:
    return re.sub(r"127\.0\.0\.1_\d+", "ADDRESS", text)


def scrape(proxy: Envoy | Proxy) -> Scrape:
    stats = {}
    for kind in TYPES:
        for line in anywhere(proxy.admin(f"/stats?type={kind}").body.decode()).splitlines():
            stats[line.partition(": ")[0]] = kind
    lines = anywhere(proxy.admin("/stats/prometheus").body.decode()).splitlines()
    return Scrape(stats, {line if line.startswith("#") else line.rpartition(" ")[0] for line in lines if line})


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    with Origin() as origin, run_pair(BOOTSTRAP % origin.port, concurrency=2, apart="names are compared") as pair:
        first = [scrape(proxy) for proxy in (pair.envoy, pair.ours)]
        for request in REQUESTS:
            pair.send(request)
        last = [scrape(proxy) for proxy in (pair.envoy, pair.ours)]
        yield Side(first[0], last[0]), Side(first[1], last[1])


@pytest.mark.parity("rule 52")
@pytest.mark.parametrize("moment", ["first", "last"])
def test_nothing_is_missing(sides: tuple[Side, Side], moment: str) -> None:
    envoy, ours = (getattr(side, moment).stats for side in sides)
    missing = sorted(envoy.items() - ours.items())
    print(f"{len(envoy)} stats of Envoy's, {len(missing)} of them missing:", *missing, sep="\n")
    assert missing == []
    assert {name for name in ours.keys() - envoy.keys() if not ADMIN_CLASSES.fullmatch(name)} <= OURS_ALONE
    assert len(envoy) > 500


@pytest.mark.parity("rule 50")
@pytest.mark.parametrize("moment", ["first", "last"])
def test_nothing_is_missing_in_prometheus_form(sides: tuple[Side, Side], moment: str) -> None:
    envoy, ours = (getattr(side, moment).series for side in sides)
    missing = sorted(envoy - ours)
    print(f"{len(envoy)} series of Envoy's, {len(missing)} of them missing:", *missing, sep="\n")
    assert missing == []
    alone = {name.removeprefix("http.ingress.").replace(".", "_") for name in OURS_ALONE}
    assert {line for line in ours - envoy if not any(name in line for name in alone)} == set()
