"""A small DNS server on loopback, UDP and TCP on one port that the kernel chooses, with answers that a test sets."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

IDLE_DEADLINE = 5.0


class DnsServer:
    """`with DnsServer() as server: server.add("web.example", "A", "10.0.0.1")`. Names are absolute, without final dot.

    A name nobody added is NXDOMAIN; a name without records of the type asked for has an empty answer. CNAMEs are
    followed. `queries` lists what was asked: (name, type, "udp" or "tcp"). `mangle` spoils replies.
    """

    def __init__(self) -> None:
        self.mangle: Callable[[bytes], bytes] = lambda reply: reply
        self.queries: list[tuple[str, str, str]] = []
        self._records: dict[tuple[str, str], list[dns.rrset.RRset]] = {}
        self._rcodes: dict[str, dns.rcode.Rcode] = {}
        self._dropped: set[str] = set()
        self._udp, self._tcp = _bind_both()
        self.port: int = self._udp.getsockname()[1]
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="dns-server", daemon=True)
        self._thread.start()

    def add(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """Sets the records of a name and type; without values the name exists and has no such record."""
        rrsets = [dns.rrset.from_text(name + ".", ttl, "IN", kind, *values)] if values else []
        self._records = {**self._records, (name, kind): rrsets}

    def remove(self, name: str) -> None:
        """Makes a name unknown."""
        self._records = {key: rrsets for key, rrsets in self._records.items() if key[0] != name}

    def fail(self, name: str, rcode: dns.rcode.Rcode | None) -> None:
        """Answers a name with an error; None ends that."""
        self._rcodes = {key: value for key, value in self._rcodes.items() if key != name}
        if rcode is not None:
            self._rcodes[name] = rcode

    def drop(self, name: str) -> None:
        """Never answers a name."""
        self._dropped = {*self._dropped, name}

    def asked(self, name: str) -> list[str]:
        """The types that were asked for a name, in order."""
        return [kind for asked, kind, _ in self.queries if asked == name]

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._stop_reader):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._stop_reader in ready:
                    return
                if self._udp in ready:
                    wire, client = self._udp.recvfrom(65_535)
                    if (reply := self._reply(wire, "udp")) is not None:
                        self._udp.sendto(reply, client)
                if self._tcp in ready:
                    connection, _ = self._tcp.accept()
                    with connection, contextlib.suppress(TimeoutError, ConnectionError):
                        self._serve_tcp(connection)

    def _serve_tcp(self, connection: socket.socket) -> None:
        connection.settimeout(IDLE_DEADLINE)
        with connection.makefile("rb") as stream:
            while len(head := stream.read(2)) == 2:
                reply = self._reply(stream.read(struct.unpack("!H", head)[0]), "tcp")
                if reply is None:
                    return
                connection.sendall(struct.pack("!H", len(reply)) + reply)

    def _reply(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, transport))
        if name in self._dropped:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        rcode = self._rcodes.get(name)
        if rcode is not None:
            response.set_rcode(rcode)
        elif not any(known == name for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self._answer(response, name, kind)
        reply = response.to_wire(max_size=65_535, want_shuffle=False)
        limit = max(query.payload, 512) if query.edns >= 0 else 512
        if transport == "udp" and len(reply) > limit:
            response.answer.clear()
            response.flags |= dns.flags.TC
            reply = response.to_wire()
        return self.mangle(reply)

    def _answer(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(20):
            aliases = self._records.get((name, "CNAME"), [])
            response.answer.extend(aliases or self._records.get((name, kind), []))
            if not aliases:
                return
            name = aliases[0][0].target.to_text(omit_final_dot=True).lower()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_writer.close()
        self._thread.join()
        for sock in (self._udp, self._tcp, self._stop_reader):
            sock.close()


def _bind_both() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same free port."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
            tcp.listen()
        except OSError:  # taken by somebody for TCP: try another one
            udp.close()
            tcp.close()
            continue
        return udp, tcp
