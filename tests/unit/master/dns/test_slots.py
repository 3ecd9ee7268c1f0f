from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from master.dns.slots import Key, SlotAllocator, host_slots
from proxy.config.cluster import ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress


def endpoints(version: int, hosts: dict[tuple[str, int], int]) -> Endpoints:
    clusters = {
        name: ClusterEndpoints(
            cluster=name,
            version=version,
            localities=(
                LocalityHosts(
                    priority=0,
                    hosts=tuple(
                        Host(slot=slot, address=SocketAddress("10.0.0.1", port))
                        for (cluster, port), slot in hosts.items()
                        if cluster == name
                    ),
                ),
            ),
        )
        for name in sorted({cluster for cluster, _ in hosts})
    }
    return Endpoints(version=version, clusters=clusters)


def test_static_slots_are_kept_and_new_ones_follow() -> None:
    slots = SlotAllocator(endpoints(1, {("static", 80): 0, ("static", 81): 1}))
    assert slots.rows == 2
    assert slots.slot("static", "10.0.0.1:81") == 1
    assert slots.slot("dns", "10.0.0.1:81") == 2
    assert slots.rows == 3
    assert slots.take_reused() == set()


def test_a_slot_changes_hands_only_after_all_workers_have_acknowledged() -> None:
    slots = SlotAllocator(endpoints(1, {("c", 1): 0, ("c", 2): 1}))
    slots.published(endpoints(2, {("c", 2): 1}))
    slots.published(endpoints(3, {("c", 2): 1}))
    slots.acknowledged(1)
    assert slots.slot("c", "10.0.0.1:3") == 2
    slots.acknowledged(2)
    assert slots.slot("c", "10.0.0.1:4") == 0
    assert slots.take_reused() == {0}
    assert slots.take_reused() == set()
    assert slots.rows == 3


def test_a_host_that_returns_in_time_has_its_slot_again() -> None:
    slots = SlotAllocator(endpoints(1, {("c", 1): 0}))
    slots.published(endpoints(2, {}))
    assert slots.slot("c", "10.0.0.1:1") == 0
    slots.published(endpoints(3, {("c", 1): 0}))
    slots.acknowledged(3)
    assert slots.slot("c", "10.0.0.1:2") == 1


def test_rows_that_a_dead_controller_may_have_given_away_wait_as_well() -> None:
    slots = SlotAllocator(endpoints(7, {("c", 1): 1}), rows=4)
    assert slots.rows == 4
    assert slots.slot("c", "10.0.0.1:2") == 4
    slots.acknowledged(6)
    assert slots.slot("c", "10.0.0.1:3") == 5
    slots.acknowledged(7)
    assert [slots.slot("c", f"10.0.0.1:{port}") for port in (4, 5, 6, 7)] == [0, 2, 3, 6]
    assert slots.take_reused() == {0, 2, 3}


def test_clusters_that_have_not_changed_are_not_looked_at() -> None:
    looked: list[str] = []

    def slots_of(cluster: ClusterEndpoints) -> dict[Key, int]:
        looked.append(cluster.cluster)
        return host_slots(cluster)

    slots = SlotAllocator(endpoints(1, {("a", 1): 0, ("b", 1): 1, ("c", 1): 2}), slots_of=slots_of)
    looked.clear()
    assert slots.slot("c", "10.0.0.1:2") == 3  # of a configuration that never came to be
    slots.published(endpoints(2, {("b", 2): 4, ("c", 1): 2, ("a", 1): 0}), {"b"})
    assert sorted(looked) == ["b", "c"]
    slots.acknowledged(2)
    assert sorted(slots.slot("d", f"10.0.0.1:{port}") for port in (1, 2)) == [1, 3]


class SlotMachine(RuleBasedStateMachine):
    """Against what workers may still use: the union of all published endpoints not known to be gone."""

    @initialize()
    def start(self) -> None:
        self.slots = SlotAllocator(endpoints(0, {}))
        self.history: list[dict[tuple[str, int], int]] = [{}]
        self.acknowledged = 0

    @rule(hosts=st.sets(st.tuples(st.sampled_from("ab"), st.integers(1, 6))))
    def publish(self, hosts: set[tuple[str, int]]) -> None:
        given = {(cluster, port): self.slots.slot(cluster, f"10.0.0.1:{port}") for cluster, port in sorted(hosts)}
        assert len(set(given.values())) == len(given)
        for old in self.history[self.acknowledged :]:
            for key, slot in old.items():
                assert all(other == key or taken != slot for other, taken in given.items())
        cleared = self.slots.take_reused()
        known = {slot for hosts in self.history for slot in hosts.values()}
        before = self.history[-1]
        for key, slot in given.items():
            if before.get(key) != slot and slot in known and all(old.get(key) != slot for old in self.history):
                assert slot in cleared
        self.history.append(given)
        self.slots.published(endpoints(len(self.history) - 1, given))

    @rule(step=st.integers(0, 3))
    def acknowledge(self, step: int) -> None:
        self.acknowledged = min(self.acknowledged + step, len(self.history) - 1)
        self.slots.acknowledged(self.acknowledged)

    @invariant()
    def few_rows(self) -> None:
        assert self.slots.rows <= sum(len(hosts) for hosts in self.history[self.acknowledged :]) + 12


TestSlots = SlotMachine.TestCase
TestSlots.settings = settings(deadline=None, max_examples=50, stateful_step_count=30)
