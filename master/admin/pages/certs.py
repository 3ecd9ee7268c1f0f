"""`/certs`: every certificate of listeners and clusters (`admin.v3.Certificates`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import trio

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request
from proxy.config.bootstrap import CompiledConfig

_SAN_FIELDS = {"DNS": "dns", "URI": "uri", "IP_ADDRESS": "ip_address"}


async def page(request: Request, context: Context) -> Reply:
    return await trio.to_thread.run_sync(_reply, context.view.config, "usage" in request.query)


def _reply(config: CompiledConfig, usage: bool) -> Reply:
    """In a thread: there may be thousands. With `usage` there is more than Envoy tells."""
    from master import certificates

    now = datetime.now(UTC)

    def shown(several: Sequence[certificates.Used], where: str) -> list[dict[str, Any]]:
        return [_certificate(each, now) | (_usage(each, where) if usage else {}) for each in several]

    found = [
        {"ca_cert": shown(each.theirs, each.where), "cert_chain": shown(each.ours, each.where)}
        for each in certificates.used(config)
    ]
    return Reply(envoy_json.dump({"certificates": found}), JSON)


def _certificate(used: Any, now: datetime) -> dict[str, Any]:
    """In Envoy's order: by kind. Mail addresses are none of `admin.v3.SubjectAlternateName`."""
    facts = used.facts
    names = [{field: name} for kind, field in _SAN_FIELDS.items() for name in facts.names(kind)]
    found = {
        "path": used.path,
        "serial_number": facts.serial,
        "subject_alt_names": names,
        "days_until_expiration": str(used.days_left(now)),
        "valid_from": _rfc3339(facts.begins),
        "expiration_time": _rfc3339(facts.expires),
    }
    if used.ocsp is not None:
        until = used.ocsp.next_update
        found["ocsp_details"] = {"valid_from": _rfc3339(used.ocsp.this_update)} | (
            {"expiration": _rfc3339(until)} if until is not None else {}
        )
    return found


def _usage(used: Any, where: str) -> dict[str, Any]:
    return {"used_by": where, "subject": used.facts.subject, "issuer": used.facts.issuer}


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
