"""What a route says about time, retries and mirrors (`config.route.v3.RouteAction`, `VirtualHost`). Data only.

The compiler has settled already what a route takes from its virtual host. Durations in seconds; 0 means none.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import HeaderMatcher
from proxy.config.header_mutation import Mutation
from proxy.config.internal_redirect import InternalRedirectPolicy
from proxy.config.lb_subsets import Labels


class ResetHeader(msgspec.Struct, frozen=True, gc=False):
    """`RetryPolicy.ResetHeader`: a response header that says when to try again. `name` is lower case."""

    name: str
    format: Literal["SECONDS", "UNIX_TIMESTAMP"] = "SECONDS"


class RetryPolicy(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.RetryPolicy`. `retry_on` holds names of `proxy.route.retry.RetryOn`; `max_interval` is at least
    `base_interval`. `avoid_previous_hosts`, `omit_canary_hosts`, `omit_host_metadata`: which hosts another attempt is
    not for, for want of which it looks for others `host_selection_retry_max_attempts` times.
    `leave_priorities_after`: so many attempts to hosts of some priorities, and others get the next ones
    (`PreviousPrioritiesConfig.update_frequency`); 0 for never.
    """

    retry_on: tuple[str, ...] = ()
    num_retries: int = 1
    per_try_timeout: float = 0.0
    per_try_idle_timeout: float = 0.0
    base_interval: float = 0.025
    max_interval: float = 0.25
    reset_headers: tuple[ResetHeader, ...] = ()
    reset_max_interval: float = 300.0
    retriable_status_codes: tuple[int, ...] = ()
    retriable_headers: tuple[HeaderMatcher, ...] = ()
    retriable_request_headers: tuple[HeaderMatcher, ...] = ()
    avoid_previous_hosts: bool = False
    omit_canary_hosts: bool = False
    omit_host_metadata: tuple[Labels, ...] = ()
    host_selection_retry_max_attempts: int = 1
    leave_priorities_after: int = 0


class MaxStreamDuration(msgspec.Struct, frozen=True, gc=False):
    """`RouteAction.MaxStreamDuration`. Where it is set, `RouteAction.timeout` does not count. None: not set."""

    max_stream_duration: float | None = None
    grpc_timeout_header_max: float | None = None
    grpc_timeout_header_offset: float = 0.0


class Mirror(msgspec.Struct, frozen=True, gc=False):
    """`RouteAction.RequestMirrorPolicy`. Exactly one of `cluster` and `cluster_header` (lower case) is not empty.

    `runtime_fraction` is (numerator, denominator). `host` replaces the authority; else it gets `-shadow` if
    `host_suffix`. `mutations` are of the copy's headers.
    """

    cluster: str = ""
    cluster_header: str = ""
    runtime_fraction: tuple[int, int] | None = None
    host_suffix: bool = True
    host: str = ""
    mutations: tuple[Mutation, ...] = ()


class RouteUpgrade(msgspec.Struct, frozen=True, gc=False):
    """`RouteAction.UpgradeConfig`. `type` is lower case. `terminates`: what follows a CONNECT goes to the upstream
    without the CONNECT.
    """

    type: str
    enabled: bool = True
    terminates: bool = False


class Forwarding(msgspec.Struct, frozen=True, gc=False):
    """`idle_timeout` and `flush_timeout` take the place of the connection manager's, None leaves that.

    `buffer_limit`: bytes of a request's body that are kept for retries; None leaves the listener's limit. `retry` is
    None where nothing retries, unless a request asks for it. `high_priority`: has the limits of that priority.
    `max_grpc_timeout`: a gRPC client's own timeout, less `grpc_timeout_offset`, counts up to this one, instead of the
    route's timeout; 0 is no limit, None: it does not count.
    `internal_redirect`: which redirects of the upstream are followed here. `tcp_posts`: the body of a POST becomes the
    bytes of a TCP connection (`ConnectConfig.allow_post`). `proxy_protocol`: such a connection, and that of a CONNECT
    that ends here, begins with a PROXY header of this version.
    """

    idle_timeout: float | None = None
    flush_timeout: float | None = None
    max_stream_duration: MaxStreamDuration | None = None
    retry: RetryPolicy | None = None
    mirrors: tuple[Mirror, ...] = ()
    buffer_limit: int | None = None
    include_is_timeout_retry_header: bool = False
    upgrades: tuple[RouteUpgrade, ...] = ()
    hedge_on_per_try_timeout: bool = False
    internal_redirect: InternalRedirectPolicy | None = None
    high_priority: bool = False
    max_grpc_timeout: float | None = None
    grpc_timeout_offset: float = 0.0
    tcp_posts: bool = False
    proxy_protocol: Literal["", "V1", "V2"] = ""

    def upgrade(self, kind: str) -> RouteUpgrade | None:
        """What the route says about `kind` (lower case); None if nothing."""
        for upgrade in self.upgrades:
            if upgrade.type == kind:
                return upgrade
        return None
