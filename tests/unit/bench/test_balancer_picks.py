"""Every case of the tool works; what it measures is for whoever runs it."""

from __future__ import annotations

import pytest

from bench.balancer_picks import CASES, Case, balancer, beginning, host_set, pick_of


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cases(case: Case) -> None:
    hosts = host_set(9, weighted=case.weighted)
    made = balancer(case.config)
    made.update(hosts)
    pick = pick_of(made, case.config)
    assert {pick() for _ in range(300)} <= hosts.hosts
    assert beginning(case.config, hosts) > 0
