"""`proxyctl clusters`: hosts, and what all workers did to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from master.cli.client import AdminClient
from master.cli.output import print_json, print_table, with_client

HEADINGS = ("CLUSTER", "HOST", "HEALTH", "WEIGHT", "CX ACTIVE", "CX TOTAL", "RQ ACTIVE", "RQ TOTAL", "RQ ERROR")
STATS = ("cx_active", "cx_total", "rq_active", "rq_total", "rq_error")


@click.command(short_help="Show clusters and their hosts.")
@click.option("--filter", "pattern", metavar="REGEX", help="Only clusters in whose name this RE2 expression is found.")
@with_client
def command(client: AdminClient, *, pattern: str | None, as_json: bool) -> None:
    """Show every host of every cluster with its connections and requests, over all workers."""
    query = {"format": "json", **({"filter": pattern} if pattern else {})}
    clusters = client.get("/clusters", query).json()["cluster_statuses"]
    if as_json:
        print_json(clusters)
    else:
        print_table(HEADINGS, [row for cluster in clusters for row in _rows(cluster)])


def _rows(cluster: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    hosts = cluster.get("host_statuses", [])
    if not hosts:
        yield cluster["name"], None, None, *([None] * (len(HEADINGS) - 3))
    for host in hosts:
        stats = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"]}
        yield (
            cluster["name"],
            _address(host["address"]),
            _health(host["health_status"]),
            host.get("weight"),
            *(stats[name] for name in STATS),
        )


def _health(status: dict[str, Any]) -> str:
    """Everything that keeps requests from the host, or what its endpoint says of it."""
    flags = [name for name, value in status.items() if value is True]
    return " ".join(flags) or str(status["eds_health_status"]).lower()


def _address(address: dict[str, Any]) -> str:
    if "pipe" in address:
        return str(address["pipe"]["path"])
    where = address["socket_address"]
    host = f"[{where['address']}]" if ":" in where["address"] else where["address"]
    return f"{host}:{where['port_value']}"
