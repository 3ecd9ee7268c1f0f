"""Every limit and time-out of the data plane, with the precedent of its default. Durations in seconds, sizes in bytes.

Limits that Envoy configures per listener, cluster or connection manager have their defaults in those compiled
structs; what stands here is what no configuration sets.
"""

from __future__ import annotations

READ_SIZE = 68 * 1024
"""One `recv`: 64 KiB, which many applications write at once, and a head. nginx's proxy_buffer_size is 4–8 KiB,
HAProxy's tune.bufsize 16 KiB, Envoy reads up to 16 slices of 16 KiB; a Python loop pays per call, so it takes more at
once. It bounds what one direction of an exchange holds; a smaller `per_connection_buffer_limit_bytes` is used instead.
"""

LEAST_READ = 4096
"""What is read at once of a response whose client has no room for more: a thousand such streams hold 4 MiB of them."""

FAIR_BURST = 16
"""Socket operations that may succeed without blocking before a connection lets the others run (≤ 1 MiB; Envoy yields
after `per_connection_buffer_limit_bytes`, 1 MiB)."""

STREAM_BURST = 16
"""Streams of HTTP/2 that start in a turn of the loop, over all connections of a worker. Envoy's
`http.max_requests_per_io_cycle`, per connection, has no default limit; a stream's start costs it far less."""

LONG_TURN = 0.002
"""What one read of an HTTP/2 connection may cost; beyond, others have their turn, and less is read at once: 64 KiB of
frames can be a hundred times as much work as 64 KiB of a body."""

ACCEPT_BURST = 16
"""Connections accepted per wake-up. Envoy's `max_connections_to_accept_per_socket_event` has no default limit; with
several workers on one socket a small burst shares the load."""

MAX_QUEUE = 4096
"""Connections that one look at a queue takes (Linux's net.core.somaxconn)."""

SPARE_DESCRIPTORS = 256
"""Descriptors, or an eighth of what a worker may have if that is less, that no new connection gets: they are for the
upstream connections, pipes and log files of those that are being served."""

ACCEPT_BACKOFF = 0.1
"""Pause of a listener when descriptors or memory run out (`trio.serve_listeners`: 0.1)."""

LINGER_BYTES = 1024 * 1024
"""What a closing connection still reads and drops so that the peer gets our last bytes instead of a reset (nginx
`lingering_close`)."""

MAX_NAMED_POOLS = 1024
"""Pools of a cluster for the names that clients ask for (`auto_sni`), in one worker. Envoy's `max_connection_pools` has
no default limit."""

DISCONNECT_CHECK = 1.0
"""How often exchanges that are older than this are asked whether their client has gone."""

MAX_NOMINATED_HEADERS = 10
"""Names in `connection` (Envoy `MAX_ALLOWED_NOMINATED_HEADERS`)."""

SMALL_BODY = 16 * 1024
"""A request body that is sent before the response is looked for: it fits every socket's send buffer (Linux's
`tcp_wmem` default is 16 KiB), so sending it cannot wait for an upstream that answers before it reads."""

EXPRESS_REQUEST = SMALL_BODY
"""A request, head and body, that the express lane takes: it is sent in one piece."""

EXPRESS_RESPONSE = 256 * 1024
"""A response that the express lane holds until it is whole, so as to send it in one piece; longer ones are streamed."""

SPLICE_FROM = 128 * 1024
"""What must be left of a body, or of its chunk, for a pipe to be cheaper than memory: over loopback they cost the same
at 96 KiB, and half as much CPU time at 512 KiB."""

PIPE_SIZE = 1024 * 1024
"""What one direction of a proxied TCP connection, or of a long body, holds while its sink is slow: what an unprivileged
process may have (/proc/sys/fs/pipe-max-size), and Envoy's `per_connection_buffer_limit_bytes`. CPU time per GB over
loopback is 0.87 s with 64 KiB, 0.68 s with 256 KiB, 0.50 s with this (`bench/tcp_relay.py`)."""

LOG_FLUSH_INTERVAL = 0.5
"""How long a line of a log may wait for others to be written with it (Envoy's `--file-flush-interval-msec`: 10 s; nginx
`flush`)."""

LOG_FLUSH_LINES = 512
"""Waiting lines that are written at once (Envoy `--file-flush-min-size-kb`: 64 KiB, which is about as many)."""

LOG_QUEUE_LINES = 65536
"""Lines that may wait for one log file; more are dropped and counted. Envoy's buffer has no bound."""

LOG_QUEUE_SIZE = 8 * 1024 * 1024
"""The same in bytes."""

LOG_PATIENCE = 1.0
"""How long a batch of lines waits for the reader of a full pipe, while it reads at all."""

LOG_CLOSE_DEADLINE = 2.0
"""What a worker that ends gives its logs to be written."""

SPARE_PIPES = 16
"""Empty pipes that a worker keeps for the next use, two descriptors each. A user's pipes beyond 64 MiB together
(/proc/sys/fs/pipe-user-pages-soft) get small ones, which is slower and nothing else."""

IDLE_SLACK = 1.0
"""How late the idle timeout of a proxied TCP connection may be, at most; see `proxy/net/relay.py`."""

MAX_SHADOWS = 1024
"""Mirrored requests of one worker that run at once (Envoy's default for a cluster's `max_requests`); more are not
mirrored, and counted (`retry_or_shadow_abandoned`)."""

SHADOW_BYTES = 64 * 1024 * 1024
"""What a worker holds of the bodies of mirrored requests whose clusters do not keep up. Envoy slows the client down
instead, by a buffer per request."""

SHADOW_DEADLINE = 300.0
"""How long a mirrored request of a route without a timeout may last (Envoy's `stream_idle_timeout`)."""

MAX_STREAM_DATA = 256 * 1024
"""What filters may write at one exchange as dynamic metadata and filter state, all in all. Envoy has no limit."""

MAX_GRPC_MESSAGE = 4 * 1024 * 1024
"""The largest message that a gRPC service may answer us with, the default of gRPC's own libraries."""

MAX_GRPC_METHODS = 500
"""gRPC methods that a filter of a worker has stats of by name, as their names come from clients: calls of more count in
those without a name. Envoy has no limit."""

TLS_HANDSHAKE_TIMEOUT = 15.0
"""How long a TLS handshake may take where `transport_socket_connect_timeout` does not say (Envoy's default for
`listener_filters_timeout`; for this it has none)."""

MAX_HANDSHAKES = 1024
"""TLS handshakes of one worker that are not complete, some 50 KiB each; the one that has waited longest makes room for
another."""
