"""One flight record in words: what happened, whose fault, which setting decided, what to look at next."""

from __future__ import annotations

from typing import NamedTuple

from master.explain import details, settings
from master.explain.flags import FLAGS, Fault, Meaning
from proxy.errors import Flag
from proxy.flight_recorder import Record

FAULTS: dict[Fault, str] = {
    "client": "the client's",
    "us": "this proxy's or its configuration's",
    "upstream": "the upstream's",
}
_OUR_STATUS = Meaning("the proxy answered with an error of its own", "us", "the log of the worker at this time")


class Story(NamedTuple):
    """`decided` are the settings behind it, with their values; empty if none decided."""

    what: str
    fault: Fault
    decided: tuple[str, ...]
    look: str


def tell(record: Record) -> Story:
    """What `record` says to a person."""
    if record.kind == "slow":
        return _slow(record)
    flags = flags_of(record.flags)
    # That the retries are used up says less than what the last of them met.
    telling = [flag for flag in flags if flag is not Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED] or flags
    meaning = FLAGS[telling[0]] if telling else _OUR_STATUS
    detail = details.find(_whole(record))
    fault = detail.fault if detail else meaning.fault
    what = detail.words if detail else meaning.words
    if record.detail == "stream_idle_timeout" and record.request_ms < 0:
        fault = "client"
    if Flag.DOWNSTREAM_CONNECTION_TERMINATION in flags:
        what += f", after {_seconds(record.total_ms)}; {_progress(record)}"
    decided = record.limits or dict.fromkeys(detail.settings if detail else ())
    return Story(
        what,
        fault,
        tuple(settings.describe(field, value) for field, value in decided.items()),
        (detail.look if detail else "") or meaning.look,
    )


def _whole(record: Record) -> str:
    """The record's detail. What a socket said is at its end, and is the cause; so that is where a cut one goes on."""
    begun, bar, rest = record.detail.removesuffix("…").partition("|")
    cause = record.cause.replace(" ", "_")
    cut = record.detail.endswith("…") and bar and cause.startswith(rest)
    return f"{begun}|{cause}" if cut else record.detail


def flags_of(text: str) -> list[Flag]:
    """The flags of `%RESPONSE_FLAGS%`; letters that we do not know are passed over."""
    known = {flag.value: flag for flag in Flag}
    return [known[part] for part in text.split(",") if part in known]


def _slow(record: Record) -> Story:
    uploading = max(0.0, record.request_ms)
    waiting = max(0.0, record.response_ms - uploading)
    what = f"answered, but only after {_seconds(record.response_ms)}"
    if record.request_ms > 0 and uploading > waiting:
        look = "the client's link, or its own pauses while it sends the body"
        return Story(f"{what}: the request itself took {_seconds(uploading)} to arrive", "client", (), look)
    look = "`proxyctl stats --filter upstream_rq_time` shows what is usual; the upstream's log has the rest"
    return Story(f"{what}: the upstream took {_seconds(waiting)} to begin its response", "upstream", (), look)


def _progress(record: Record) -> str:
    if record.response_ms >= 0:
        return "the response had begun"
    if record.request_ms >= 0:
        return "the upstream had not answered yet"
    return "the request was not complete" if record.method else "no request had been read"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"
