"""A response as a stream of HTTP/2 is sent it: as `express_response`, whose plans these are."""

from __future__ import annotations

from proxy.http import h2_strict
from proxy.http.express_response import SERVICE_TIME, ResponsePlan, ResponsePlans
from proxy.http.h2_heads import Pair
from proxy.http.headers import Headers


class StreamPlan(ResponsePlan):
    """`fields` begin with `:status`; `time_at` is where the service time stands, 0 if nowhere."""

    __slots__ = ("fields", "time_at")

    fields: list[Pair]
    time_at: int

    def render(self, service_time: int) -> list[Pair]:
        """The header list for the client; not to be changed."""
        if not self.time_at:
            return self.fields
        fields = self.fields.copy()
        fields[self.time_at] = (SERVICE_TIME, b"%d" % service_time)
        return fields


class StreamPlans(ResponsePlans[StreamPlan]):
    """Those for streams, whose end ends no connection."""

    knows_bodiless = False

    def _finished(
        self,
        status: int,
        content_length: int,
        head_size: int,
        headers: Headers,
        *,
        timed: bool,
        date: bytes | None,
        ended: bool,
        close: bool,
    ) -> StreamPlan | None:
        fields = h2_strict.without_connection(headers).items
        if not all(h2_strict.is_field(*pair) for pair in fields):
            return None
        plan = StreamPlan(status, content_length, head_size, headers, timed=timed, date=date)
        plan.fields = [(b":status", b"%d" % status), *fields]
        plan.time_at = plan.fields.index((SERVICE_TIME, b"0")) if timed else 0
        return plan
