"""Responses as their hosts sent them: for who works out anew with each one what becomes of it (`express_response`)."""

from __future__ import annotations

from typing import Any

from proxy.config.cluster import Cluster
from proxy.http import header_case
from proxy.http.express_response import ResponsePlan, ResponsePlans, Shelf
from proxy.http.headers import Headers
from proxy.http.response_head import ResponseRules


class _Untouched(ResponseRules):
    """Rules of heads that are kept as they came."""

    def clean(self, headers: Headers, **options: Any) -> None:
        """Nothing."""


class ReadPlans(ResponsePlans[ResponsePlan]):
    """The headers of these plans are not to be edited."""

    @classmethod
    def of_cluster(cls, shelf: Shelf, cluster: Cluster, *, to_head: bool) -> ReadPlans:
        return cls(
            shelf,
            _Untouched(),
            max_bytes=cluster.max_response_headers_kb * 1024,
            max_count=cluster.max_response_headers_count,
            service_time=False,
            remember=header_case.reader(cluster.http1.header_case),
            to_head=to_head,
        )

    def _finished(
        self, status: int, content_length: int, head_size: int, headers: Headers, **options: Any
    ) -> ResponsePlan:
        return ResponsePlan(status, content_length, head_size, headers, timed=False, date=None)
