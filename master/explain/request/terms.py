"""How long things may take and what is tried again, each with what says so."""

from __future__ import annotations

from collections.abc import Iterator

from master.explain.request.answer import Setting
from master.explain.request.paths import OPTIONS, Paths
from master.explain.request.place import DEFAULT, Path, Place, Places
from proxy.config.cluster import Cluster
from proxy.config.route import ClusterAction
from proxy.explain.trial import Trial
from proxy.filters.http.router_headers import HEDGE, PER_TRY_TIMEOUT, STREAM_DURATION, TIMEOUT
from proxy.filters.network.hcm_config import Config
from proxy.filters.router.forwarding import Forwarding
from proxy.http.deadlines import Phase
from proxy.http.grpc_timeout import NAME as GRPC_TIMEOUT
from proxy.route.finish import mutation_levels
from proxy.route.retry import HEADER_NAMES, MAX_RETRIES, RETRY_GRPC_ON, RETRY_ON, STATUS_CODES


def timeouts(
    trial: Trial, forwarding: Forwarding, config: Config, cluster: Cluster, places: Places, paths: Paths, at: Path
) -> tuple[Setting, ...]:
    """All that end a request which is forwarded, in the order in which it meets them. `at` is the cluster's place."""
    terms, limits, asks = forwarding.terms, trial.limits, _Asks(trial, config)
    action = forwarding.entry.route.action
    assert isinstance(action, ClusterAction)
    manager, route = paths.manager, paths.action
    retry = retry_policy(paths, places)
    duration = (*route, "max_stream_duration")
    ends_timeout = action.forwarding.max_stream_duration is not None
    options = (*at, "typed_extension_protocol_options", OPTIONS, "common_http_protocol_options")
    return (
        Setting(
            "request_headers_timeout",
            seconds(config.request_headers_timeout),
            places.of(*manager, "request_headers_timeout"),
        ),
        Setting("request_timeout", seconds(config.request_timeout), places.of(*manager, "request_timeout")),
        asks.setting(
            "timeout",
            terms.timeout,
            TIMEOUT,
            places.of(*duration)
            if ends_timeout
            else places.of(*route, "max_grpc_timeout" if terms.tells_grpc else "timeout"),
        ),
        Setting(
            "idle_timeout",
            seconds(limits.get(Phase.STREAM_IDLE, 0.0)),
            places.first((*route, "idle_timeout"), (*manager, "stream_idle_timeout")),
        ),
        asks.setting(
            "max_stream_duration",
            limits.get(Phase.STREAM_DURATION, 0.0),
            GRPC_TIMEOUT if _takes_grpc_timeout(action) else b"",
            places.first(
                (*duration, "max_stream_duration"), (*manager, "common_http_protocol_options", "max_stream_duration")
            ),
        ),
        asks.setting(
            "per_try_timeout",
            terms.per_try_timeout,
            PER_TRY_TIMEOUT,
            places.of(*retry, "per_try_timeout") if retry else DEFAULT,
        ),
        Setting(
            "per_try_idle_timeout",
            seconds(terms.per_try_idle_timeout),
            places.of(*retry, "per_try_idle_timeout") if retry else DEFAULT,
        ),
        Setting("connect_timeout", seconds(cluster.connect_timeout), places.of(*at, "connect_timeout")),
        asks.setting(
            "upstream max_stream_duration",
            forwarding.stream_duration,
            STREAM_DURATION if terms.stream_duration is not None else b"",
            places.of(*options, "max_stream_duration"),
        ),
    )


def _takes_grpc_timeout(action: ClusterAction) -> bool:
    duration = action.forwarding.max_stream_duration
    return duration is not None and duration.grpc_timeout_header_max is not None


class _Asks:
    """What the request itself asked for, as it was when it came to the router, or what the route's edits ask for it."""

    def __init__(self, trial: Trial, config: Config) -> None:
        assert trial.at_router is not None
        assert trial.forwarding is not None
        entry = trial.forwarding.entry
        levels = [*mutation_levels(config.route_config, entry.virtual_host, entry.route)]
        owners = [*levels, *([entry.share] if entry.share is not None else ())]
        written = (one for owner in owners for one in owner.header_mutations.request if one.action != "REMOVE")
        self._names = {name for name, _ in trial.at_router.headers} | {mutation.name for mutation in written}

    def names(self, *headers: bytes) -> str:
        """Those of `headers` that it has."""
        return ", ".join(name.decode() for name in headers if name in self._names)

    def setting(self, name: str, value: float, header: bytes, place: Place) -> Setting:
        asked = self.names(header) if header else ""
        return Setting(name, seconds(value), DEFAULT if asked else place, asked)


def retry_policy(paths: Paths, places: Places) -> Path:
    """Where the policy of the route stands, or of its virtual host; empty if there is none."""
    return places.first((*paths.action, "retry_policy"), (*paths.host, "retry_policy")).path


def retries(trial: Trial, forwarding: Forwarding, config: Config, places: Places, paths: Paths) -> tuple[Setting, ...]:
    """Empty if nothing is tried again."""
    return tuple(_retries(trial, forwarding, config, places, paths))


def _retries(trial: Trial, forwarding: Forwarding, config: Config, places: Places, paths: Paths) -> Iterator[Setting]:
    state, asks, at = forwarding.terms.retry, _Asks(trial, config), retry_policy(paths, places)
    if state is None:
        return

    def place(*field: str) -> Place:
        return places.of(*at, *field) if at else DEFAULT

    conditions = ", ".join(sorted(state.conditions))
    yield Setting("retry_on", conditions, place("retry_on"), asks.names(RETRY_ON, RETRY_GRPC_ON))
    yield Setting("num_retries", str(state.remaining), place("num_retries"), asks.names(MAX_RETRIES))
    policy = state.policy
    intervals = f"up to {policy.base_interval:g} s, doubling to {policy.max_interval:g} s"
    yield Setting("retry_back_off", intervals, place("retry_back_off"))
    if policy.reset_headers:
        names = ", ".join(header.name for header in policy.reset_headers)
        limited = f"as {names} say, up to {policy.reset_max_interval:g} s"
        yield Setting("rate_limited_retry_back_off", limited, place("rate_limited_retry_back_off"))
    codes = ", ".join(map(str, policy.retriable_status_codes))
    if "retriable-status-codes" in state.conditions:
        yield Setting("retriable_status_codes", codes, place("retriable_status_codes"), asks.names(STATUS_CODES))
    if "retriable-headers" in state.conditions:
        names = ", ".join(header.name for header in policy.retriable_headers)
        yield Setting("retriable_headers", names, place("retriable_headers"), asks.names(HEADER_NAMES))
    omitted = {
        "previous hosts": policy.avoid_previous_hosts,
        "canaries": policy.omit_canary_hosts,
        "hosts by their metadata": bool(policy.omit_host_metadata),
    }
    if any(omitted.values()):
        hosts = f"not {', '.join(name for name, is_omitted in omitted.items() if is_omitted)}"
        yield Setting("retry_host_predicate", hosts, place("retry_host_predicate"))
    if forwarding.terms.hedge:
        owner = places.first((*paths.action, "hedge_policy"), (*paths.host, "hedge_policy"))
        yield Setting(
            "hedge_policy", "an attempt that takes too long goes on beside the next", owner, asks.names(HEDGE)
        )


def seconds(value: float) -> str:
    return f"{value:g} s" if value else "none"
