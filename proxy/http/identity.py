"""Who sent a request, and the headers that tell the upstream: `x-forwarded-*`, `x-envoy-*`, `x-request-id`, `via`.

The order of decisions is Envoy's (`ConnectionManagerUtility::mutateRequestHeaders`; features §13 rules 16, 21 to 27).
No I/O: headers, the connection's two addresses and the configuration in, facts and changed headers out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec

from proxy import registry
from proxy.config.common import Address, PipeAddress, PluginConfig, SocketAddress
from proxy.config.identity import Identity
from proxy.http import hop_by_hop
from proxy.http.headers import Headers
from proxy.http.original_ip import ORIGINAL_IP_DETECTIONS
from proxy.http.original_ip.detection import OriginalIpDetection
from proxy.net.cidr import CidrRanges, parse_ip

XFF = b"x-forwarded-for"
XFP = b"x-forwarded-proto"
XFPORT = b"x-forwarded-port"
VIA = b"via"
REQUEST_ID = b"x-request-id"
FORCE_TRACE = b"x-envoy-force-trace"
EXTERNAL_ADDRESS = b"x-envoy-external-address"
INTERNAL = b"x-envoy-internal"
CLIENT_CERT = b"x-forwarded-client-cert"

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
    CLIENT_CERT,
}
_EDGE = _EXTERNAL | {
    b"x-envoy-decorator-operation",
    b"x-envoy-downstream-service-cluster",
    b"x-envoy-downstream-service-node",
    b"x-envoy-original-path",
}
_INTERNAL = frozenset({INTERNAL, CLIENT_CERT})
_WATCHED = _EDGE | hop_by_hop.STRIPPED | {XFF, XFP, XFPORT, VIA, REQUEST_ID, EXTERNAL_ADDRESS}


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

    `peer` is the peer as the caller of a request; `relayed` the same where others stand before it.
    """

    scheme: bytes
    appended: bytes
    port: bytes
    peer: Caller
    relayed: Caller


class Identities:
    """The rules of one connection manager. `own_address` stands for us in `x-forwarded-for` when the peer is local."""

    def __init__(self, config: Identity, own_address: str) -> None:
        self._config = config
        self._own_address = own_address.encode()
        self._ranges = CidrRanges(config.internal_addresses.cidr_ranges)
        only = {name.encode() for name in config.internal_only_headers}
        kept = {CLIENT_CERT} if config.keeps_client_cert else set()
        self._private = (_EDGE if config.use_remote_address else _EXTERNAL) - kept | only
        self._private_inside = _INTERNAL - kept
        self._watched = _WATCHED | only
        self._detections = tuple(map(_detection, config.detections))
        self._append = config.use_remote_address and not config.skip_xff_append
        self._claims_scheme = config.use_remote_address and config.xff_num_trusted_hops == 0
        self._via = config.via.encode()
        self._scheme = config.scheme.encode()
        self._new_id_at_edge = config.use_remote_address and not config.preserve_external_request_id

    def hop(self, remote: Address, local: Address, scheme: bytes) -> Hop:
        """What the connection from `remote` to `local` says; once per connection."""
        appended = b""
        if isinstance(remote, SocketAddress):
            loopback = remote.host.startswith("127.") or remote.host == "::1"
            appended = self._own_address if loopback else remote.host.encode()
        port = b"%d" % local.port if isinstance(local, SocketAddress) else b""
        relayed = Caller(remote)
        return Hop(scheme, appended, port, Caller(remote, self._is_internal(remote)), relayed)

    def admit(self, headers: Headers, hop: Hop, *, upgrading: bool = False) -> Caller:
        """Make `headers` those of the request that we send on, in place; it asks for an upgrade if `upgrading`. Raises
        `ProxyError` (400).
        """
        config = self._config
        noted: dict[bytes, bytes] = {}
        for name, value in headers.items:
            if name in self._watched:
                noted[name] = noted[name] + b"," + value if name in noted else value
        if not noted.keys().isdisjoint(hop_by_hop.STRIPPED):
            for name in hop_by_hop.strip_request(headers, upgrading=upgrading):
                noted.pop(name, None)
        append = self._append
        if self._detections:
            caller, append = self._detected(headers, noted.get(XFF), hop)
        else:
            caller = self._caller(noted.get(XFF), hop)
        private = self._private_inside if caller.internal else self._private
        if not noted.keys().isdisjoint(private):
            headers.items = [pair for pair in headers.items if pair[0] not in private]
        self._forwarded(headers, noted, hop, append=append)
        if self._via:
            _append(headers, noted, VIA, b", ", self._via)
        if caller.internal:
            headers.add(INTERNAL, b"true")
        elif config.use_remote_address:
            if isinstance(caller.address, SocketAddress):
                _put(headers, noted, EXTERNAL_ADDRESS, caller.address.host.encode())
            else:
                headers.remove(EXTERNAL_ADDRESS)
        if config.generate_request_id and (REQUEST_ID not in noted or (self._new_id_at_edge and not caller.internal)):
            _put(headers, noted, REQUEST_ID, new_request_id())
        return caller

    def tells_request_id(self, headers: Headers, caller: Caller) -> bool:
        """Whether the response to the request with these admitted `headers` tells its id (rule 26)."""
        return self._config.always_set_request_id_in_response or (caller.internal and FORCE_TRACE in headers)

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


def new_request_id() -> bytes:
    """A random UUID, version 4, as `x-request-id`; the version nibble 4 also says "not traced" (rule 26)."""
    bits = random.getrandbits(128)  # an identifier, not a secret
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    text = b"%032x" % bits
    return b"%b-%b-%b-%b-%b" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])


def _put(headers: Headers, noted: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    if name in noted:
        headers.set(name, value)
    else:
        headers.add(name, value)


def _append(headers: Headers, noted: dict[bytes, bytes], name: bytes, separator: bytes, member: bytes) -> None:
    """Add a member to a list, which an empty value is not."""
    before = noted.get(name)
    _put(headers, noted, name, before + separator + member if before else member)
