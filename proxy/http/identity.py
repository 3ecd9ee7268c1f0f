"""Who sent a request, and the headers that tell the upstream: `x-forwarded-*`, `x-envoy-*`, `x-request-id`, `via`.

The order of decisions is Envoy's (`ConnectionManagerUtility::mutateRequestHeaders`; features §13 rules 16, 21 to 27).
No I/O: headers, the connection's two addresses and the configuration in, facts and changed headers out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from proxy import registry
from proxy.config.common import Address, PipeAddress, PluginConfig, SocketAddress
from proxy.config.identity import Identity, UserAgent
from proxy.http import client_cert, hop_by_hop, request_id
from proxy.http.headers import Headers
from proxy.http.original_ip import ORIGINAL_IP_DETECTIONS
from proxy.http.original_ip.detection import OriginalIpDetection
from proxy.net.cidr import CidrRanges, parse_ip

if TYPE_CHECKING:
    from proxy.net.tls.session import TlsSession

XFF = b"x-forwarded-for"
XFP = b"x-forwarded-proto"
XFPORT = b"x-forwarded-port"
VIA = b"via"
REQUEST_ID = b"x-request-id"
FORCE_TRACE = b"x-envoy-force-trace"
EXTERNAL_ADDRESS = b"x-envoy-external-address"
INTERNAL = b"x-envoy-internal"
CLIENT_CERT = b"x-forwarded-client-cert"
USER_AGENT = b"user-agent"
SERVICE_CLUSTER = b"x-envoy-downstream-service-cluster"
SERVICE_NODE = b"x-envoy-downstream-service-node"

ROUTER_HEADERS = frozenset(
    b"x-envoy-" + name
    for name in (
        b"retry-on", b"retry-grpc-on", b"max-retries", b"retriable-status-codes", b"retriable-header-names",
        b"upstream-rq-timeout-ms", b"upstream-rq-per-try-timeout-ms", b"upstream-rq-timeout-alt-response",
        b"upstream-alt-stat-name", b"hedge-on-per-try-timeout", b"upstream-stream-duration-ms",
    )
)  # fmt: skip
"""What a caller from inside may ask of the router, which consumes them: nobody upstream ever sees these."""

_EXTERNAL = ROUTER_HEADERS | {
    INTERNAL,
    FORCE_TRACE,
    b"x-envoy-expected-rq-timeout-ms",
    b"x-envoy-ip-tags",
    b"x-envoy-original-url",
}
_EDGE = _EXTERNAL | {
    b"x-envoy-decorator-operation",
    SERVICE_CLUSTER,
    SERVICE_NODE,
    b"x-envoy-original-path",
}
_INTERNAL = frozenset({INTERNAL})
_WATCHED = _EDGE | hop_by_hop.STRIPPED | {XFF, XFP, XFPORT, VIA, REQUEST_ID, EXTERNAL_ADDRESS, CLIENT_CERT, USER_AGENT}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `address` is the trusted client address (`%DOWNSTREAM_REMOTE_ADDRESS%`), port 0 if it came
    from `x-forwarded-for`.
    """

    address: Address
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Hop:
    """What a connection says about its requests. `appended` is our line in `x-forwarded-for`, empty for none.

    `peer` is the peer as the caller of a request; `relayed` the same where others stand before it. `client_cert` is our
    element of `x-forwarded-client-cert`: None for a client that presented no certificate or where nobody asks, empty
    where it is only asked whether there is one.
    """

    scheme: bytes
    appended: bytes
    port: bytes
    peer: Caller
    relayed: Caller
    client_cert: bytes | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """All that makes a difference to requests: equal for connections that say the same. Not the peer's port."""
        address = self.peer.address
        host = address.host if isinstance(address, SocketAddress) else None
        return host, self.port, self.peer.internal, self.client_cert


class Identities:
    """The rules of one connection manager. `own_address` stands for us in `x-forwarded-for` when the peer is local."""

    def __init__(self, config: Identity, own_address: str) -> None:
        self._config = config
        self._own_address = own_address.encode()
        self._ranges = CidrRanges(config.internal_addresses.cidr_ranges)
        only = {name.encode() for name in config.internal_only_headers}
        self._private = (_EDGE if config.use_remote_address else _EXTERNAL) | only
        self._watched = _WATCHED | only
        self._detections = tuple(map(_detection, config.detections))
        self._append = config.use_remote_address and not config.skip_xff_append
        self._claims_scheme = config.use_remote_address and config.xff_num_trusted_hops == 0
        self._via = config.via.encode()
        self._scheme = config.scheme.encode()
        self._request_ids = request_id.Policy(config)

    def hop(self, remote: Address, local: Address, scheme: bytes, tls: TlsSession | None = None) -> Hop:
        """What the connection from `remote` to `local` says; once per connection."""
        port = b"%d" % local.port if isinstance(local, SocketAddress) else b""
        peer, relayed = Caller(remote, self._is_internal(remote)), Caller(remote)
        told = self._client_cert(tls) if tls is not None else None
        return Hop(scheme, self._appended(remote), port, peer, relayed, told)

    def _client_cert(self, tls: TlsSession) -> bytes | None:
        config = self._config.client_cert
        if config.forward in ("SANITIZE", "ALWAYS_FORWARD_ONLY") or tls.peer is None:
            return None
        if config.forward == "FORWARD_ONLY":
            return b""
        return client_cert.element(tls.peer_chain, tls.local, config.details)

    def _appended(self, remote: Address) -> bytes:
        if not isinstance(remote, SocketAddress):
            return b""
        if remote.host.startswith("127.") or remote.host == "::1":
            return self._own_address
        return remote.host.encode()

    def admit(self, headers: Headers, hop: Hop, *, upgrading: bool = False) -> Caller:
        """Make `headers` those of the request that we send on, in place; it asks for an upgrade if `upgrading`. Raises
        `ProxyError` (400).
        """
        config = self._config
        noted: dict[bytes, bytes] = {}
        for name, value in headers.items:
            if name in self._watched:
                before = noted.get(name)
                noted[name] = before + b"," + value if before and value else before or value
        if not noted.keys().isdisjoint(hop_by_hop.STRIPPED):
            for name in hop_by_hop.strip_request(headers, upgrading=upgrading):
                noted.pop(name, None)
        append = self._append
        if self._detections:
            caller, append = self._detected(headers, noted.get(XFF), hop)
        else:
            caller = self._caller(noted.get(XFF), hop)
        private = _INTERNAL if caller.internal else self._private
        if not noted.keys().isdisjoint(private):
            headers.items = [pair for pair in headers.items if pair[0] not in private]
        self._forwarded(headers, noted, hop, append=append)
        if caller.internal:
            headers.add(INTERNAL, b"true")
        if config.user_agent is not None:
            self._introduce(headers, noted, config.user_agent)
        if self._via:
            _append(headers, noted, VIA, b", ", self._via)
        at_edge = config.use_remote_address and not caller.internal
        if at_edge:
            if isinstance(caller.address, SocketAddress):
                _put(headers, noted, EXTERNAL_ADDRESS, caller.address.host.encode())
            else:
                headers.remove(EXTERNAL_ADDRESS)
        theirs = noted.get(REQUEST_ID)
        ours = self._request_ids.choose(theirs, at_edge=at_edge)
        if ours is not None:
            _put(headers, noted, REQUEST_ID, ours)
        if CLIENT_CERT in noted or hop.client_cert is not None:
            self._certify(headers, noted, hop.client_cert)
        return caller

    @property
    def marks_foreign_ids(self) -> bool:
        """Whether a request from outside keeps its id but for the nibble about tracing."""
        return self._request_ids.marks_foreign

    def tells_request_id(self, headers: Headers, caller: Caller) -> bool:
        """Whether the response to the request with these admitted `headers` tells its id (rule 26)."""
        return self._config.always_set_request_id_in_response or (caller.internal and FORCE_TRACE in headers)

    def _introduce(self, headers: Headers, noted: dict[bytes, bytes], us: UserAgent) -> None:
        """`add_user_agent`. Envoy says what it is called to whomever it sends requests, its callers' names go."""
        _put(headers, noted, SERVICE_CLUSTER, us.cluster.encode())
        if not noted.get(USER_AGENT):
            _put(headers, noted, USER_AGENT, us.cluster.encode())
        if us.id:
            _put(headers, noted, SERVICE_NODE, us.id.encode())

    def _certify(self, headers: Headers, noted: dict[bytes, bytes], ours: bytes | None) -> None:
        """`x-forwarded-client-cert`: only who has shown a certificate may tell of others (`ALWAYS_…`: anybody)."""
        forward = self._config.client_cert.forward
        if forward == "ALWAYS_FORWARD_ONLY":
            return
        if forward == "SANITIZE" or ours is None:
            headers.remove(CLIENT_CERT)
        elif forward == "APPEND_FORWARD":
            _append(headers, noted, CLIENT_CERT, b",", ours)
        elif forward == "SANITIZE_SET":
            _put(headers, noted, CLIENT_CERT, ours)

    def _forwarded(self, headers: Headers, noted: dict[bytes, bytes], hop: Hop, *, append: bool) -> None:
        if append and hop.appended:
            _append(headers, noted, XFF, b",", hop.appended)
        if self._scheme:
            _put(headers, noted, XFP, self._scheme)
        elif self._claims_scheme or not noted.get(XFP):
            _put(headers, noted, XFP, hop.scheme)
        if self._config.append_x_forwarded_port and hop.port and (self._claims_scheme or XFPORT not in noted):
            _put(headers, noted, XFPORT, hop.port)

    def _caller(self, xff: bytes | None, hop: Hop) -> Caller:
        """Rules 22 and 23. What is too short or no address makes the peer the caller."""
        hops = self._config.xff_num_trusted_hops
        if self._config.use_remote_address:
            if xff is None:
                return hop.peer
            if hops == 0:
                return hop.relayed
            hops -= 1
            alone = False
        elif xff is None:
            return hop.relayed
        else:
            alone = hops == 0 and b"," not in xff
        entries = xff.rsplit(b",", hops + 1)
        if len(entries) <= hops:
            return hop.relayed
        host = parse_ip(entries[-hops - 1].strip().decode("latin-1"))
        if host is None:
            return hop.relayed
        address = SocketAddress(host, 0)
        return Caller(address, alone and self._is_internal(address))

    def _detected(self, headers: Headers, xff: bytes | None, hop: Hop) -> tuple[Caller, bool]:
        """What the first extension that finds an address says: the caller, and whether the peer is told upstream, which
        any that was asked may want.
        """
        appends = False
        for extension in self._detections:
            found = extension.detect(headers, xff, hop.relayed.address)
            appends = appends or found.appends
            if found.address is not None:
                internal = found.may_be_internal and self._is_internal(found.address)
                return Caller(found.address, internal), appends
        return hop.relayed, appends

    def _is_internal(self, address: Address) -> bool:
        if isinstance(address, PipeAddress):
            return self._config.internal_addresses.unix_sockets
        return bool(self._ranges) and address.host in self._ranges


def _detection(plugin: PluginConfig) -> OriginalIpDetection:
    extension = registry.load(ORIGINAL_IP_DETECTIONS, plugin.type_url)
    built: OriginalIpDetection = extension(msgspec.msgpack.decode(plugin.config, type=extension.Config))
    return built


def _put(headers: Headers, noted: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    if name in noted:
        headers.set(name, value)
    else:
        headers.add(name, value)


def _append(headers: Headers, noted: dict[bytes, bytes], name: bytes, separator: bytes, member: bytes) -> None:
    """Add a member to a list, which an empty value is not."""
    before = noted.get(name)
    _put(headers, noted, name, before + separator + member if before else member)
