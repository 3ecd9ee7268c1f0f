"""The table of MAGLEV is what going through its rounds one by one fills."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.config.cluster import Host
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream.hash_key import hash_key
from proxy.upstream.lb.maglev import Maglev
from tests.unit.upstream.balancing import hosts, surroundings


def filled(group: list[Host], size: int) -> Maglev:
    found = Maglev(surroundings(LoadBalancing(hashing=Hashing(table_size=size))))
    total = sum(host.weight for host in group)
    found.update([(host, host.weight / total) for host in group])
    return found


def round_by_round(group: list[Host], size: int) -> list[int]:
    """As `MaglevTable` has it: in each round every host that is behind its share takes a place."""
    total = sum(host.weight for host in group)
    named = sorted((hash_key(host, use_hostname=False), index) for index, host in enumerate(group))
    shares = [group[index].weight / total for _, index in named]
    places = [xxhash.xxh64_intdigest(name) % size for name, _ in named]
    steps = [xxhash.xxh64_intdigest(name, seed=1) % (size - 1) + 1 for name, _ in named]
    targets, table, turn = [0.0] * len(named), [-1] * size, 0
    while True:
        turn += 1
        for index, share in enumerate(shares):
            if turn * share < targets[index]:
                continue
            targets[index] += max(shares)
            while table[places[index]] >= 0:
                places[index] = (places[index] + steps[index]) % size
            table[places[index]] = index
            if -1 not in table:
                return table


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9) | st.integers(1, 200), min_size=1, max_size=12), st.sampled_from([2, 53, 251]))
@example([200] + [1] * 11, 251)
@example([3, 7, 1] * 4, 251)
def test_it_is_that_of_the_rounds(weights: list[int], size: int) -> None:
    group = hosts(weights)
    assert list(filled(group, size)._table) == round_by_round(group, size)


class Share(float):
    """A share that knows how often a round has been compared with one."""

    compared = 0

    def __rmul__(self, turn: float) -> float:
        Share.compared += 1
        return turn * float(self)


def test_light_hosts_are_not_asked_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a heavy host they have no part in most of them."""
    monkeypatch.setattr(Share, "compared", 0)
    weights = [10_000] + [1] * 199
    found = Maglev(surroundings(LoadBalancing(hashing=Hashing(table_size=251))))
    found.update([(host, Share(host.weight / sum(weights))) for host in hosts(weights)])
    assert 0 < Share.compared <= 4 * 251
