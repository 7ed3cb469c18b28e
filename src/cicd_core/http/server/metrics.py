"""Metrics for Prometheus: requests by route, waiting requests, the depth of the queue.

No label has an id: a route is named by its path in the table of routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from cicd_core.queueing.stats import QueueStats

#: The media type of :meth:`Metrics.exposition`.
MEDIA_TYPE: Final = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        """Start at zero, with a registry of its own: a process may create several applications."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cicd_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "cicd_http_request_seconds",
            "Time to answer; for a claim, this includes its wait for work.",
            ("method", "route"),
            registry=self._registry,
        )
        self._waiting = Gauge(
            "cicd_http_waiting_requests", "Claims waiting for work.", registry=self._registry
        )
        self._streams = Gauge("cicd_http_streams", "Open event streams.", registry=self._registry)
        self._jobs = Gauge(
            "cicd_queue_jobs", "Jobs by their queue status.", ("status",), registry=self._registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self, stats: QueueStats, *, waiting: int, streams: int) -> bytes:
        """Return all metrics in the format of Prometheus."""
        self._waiting.set(waiting)
        self._streams.set(streams)
        for status, number in stats.depth.items():
            self._jobs.labels(status.value).set(number)
        return generate_latest(self._registry)
