"""What is told of a queue to Prometheus: a text file for the node exporter, or a port of this machine.

Names and units as Prometheus has them (https://prometheus.io/docs/practices/naming/: a prefix, base units in plural,
`_total` for counters). All values are made from the database, so that a daemon that starts again goes on counting where
the last one was.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.daemon.reporting import RECOVERY_BOUNDS, Readable, Tally, alive, tally
from trainguard.facts.checkpoint.folder import CHECKPOINT_NAME
from trainguard.queue.records import STATES

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

FILE = "metrics.prom"
_PREFIX = "trainguard"


class Figures:
    """The state of one queue as metrics. `refresh` reads it, in the daemon's thread; a scrape gives what was read."""

    def __init__(self, lineage: str, output_dir: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lineage = lineage
        self._output_dir = output_dir
        self._clock = clock
        self._tally = Tally()
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []

    def refresh(self, queue: Readable) -> bool:
        """Reads what is new in the queue; False where there is more, so that it is to be called again soon.

        Raises what the database raises; then the former figures stay.
        """
        if not tally(queue, self._tally):
            return False
        metrics = list(_metrics(queue, self._tally, self._lineage, self._output_dir, self._clock()))
        with self._lock:
            self._metrics = metrics
        return True

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client calls at each scrape, from a thread of its own."""
        with self._lock:
            return iter(list(self._metrics))

    def registry(self) -> CollectorRegistry:
        """A registry with these figures and nothing else: no process, no platform, no garbage collector."""
        from prometheus_client.registry import CollectorRegistry

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry


def write_metrics(figures: Figures, path: Path) -> bool:
    """Writes the figures for the node exporter's textfile collector; whether it could.

    The library writes beside and renames (prometheus_client 0.26, exposition.py, write_to_textfile), so that a reader
    sees a whole file. A full disk is no reason to end a daemon.
    """
    from prometheus_client.exposition import write_to_textfile

    try:
        write_to_textfile(str(path), figures.registry())
    except OSError:
        return False
    return True


def serve(figures: Figures, port: int, *, address: str = "127.0.0.1") -> Callable[[], None]:
    """Answers scrapes on a port of this machine; gives what ends it. Raises UsageError where the port is taken."""
    from prometheus_client.exposition import start_http_server

    from trainguard.errors import UsageError

    try:
        server, thread = start_http_server(port, addr=address, registry=figures.registry())
    except OSError as error:
        raise UsageError(
            f"queue.metrics_port {port} on {address} cannot be used: {error.strerror or error}; "
            "set another one, or leave it out for the text file alone"
        ) from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return end


def _metrics(queue: Readable, counted: Tally, lineage: str, output_dir: Path, now: float) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    def family(kind: Any, name: str, about: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Any:
        made = kind(f"{_PREFIX}_{name}", about, labels=("lineage", *labels))
        for given, value in values.items():
            made.add_metric((lineage, *given), value)
        return made

    counts = queue.counts()
    oldest = min(counted.waiting.values(), default=None)
    depth: dict[tuple[str, ...], float] = {(state,): float(counts.get(state, 0)) for state in STATES}
    yield family(GaugeMetricFamily, "queue_files", "Files by the state that they are in.", depth, "state")
    age = max(now - oldest, 0.0) if oldest is not None else 0.0
    yield family(
        GaugeMetricFamily,
        "queue_oldest_waiting_seconds",
        "How long the file waits that has waited longest, 0 for none.",
        {(): age},
    )
    yield family(CounterMetricFamily, "files_accepted", "Files that were ever accepted.", {(): counted.accepted})
    ended: dict[tuple[str, ...], float] = {
        (state,): float(counted.ended.get(state, 0)) for state in ("done", "failed", "quarantined")
    }
    yield family(CounterMetricFamily, "files_ended", "Files that reached an end, by which.", ended, "state")
    attempts: dict[tuple[str, ...], float] = {
        (outcome,): float(number) for outcome, number in sorted(counted.attempts.items())
    }
    yield family(CounterMetricFamily, "attempts", "Attempts that ended, by what they ended with.", attempts, "outcome")
    recoveries: dict[tuple[str, ...], float] = {
        (kind,): float(number) for kind, number in sorted(counted.recoveries.items())
    }
    yield family(CounterMetricFamily, "recoveries", "Faults survived, by kind.", recoveries, "kind")
    yield family(
        CounterMetricFamily, "lost_steps", "Steps that were made again after a fault.", {(): counted.lost_steps}
    )
    yield family(CounterMetricFamily, "steps", "Optimizer steps made, with those made again.", {(): counted.steps})
    yield family(
        CounterMetricFamily,
        "productive_seconds",
        "Time in which steps that count were made.",
        {(): counted.productive_seconds},
    )
    histogram = HistogramMetricFamily(
        f"{_PREFIX}_recovery_seconds", "From a fault to the first new step.", labels=("lineage",)
    )
    histogram.add_metric((lineage,), buckets=_buckets(counted), sum_value=counted.recovery_seconds)
    yield histogram
    ratio = counted.ettr(now)
    yield family(
        GaugeMetricFamily,
        "effective_training_time_ratio",
        "Productive time over the wall time of files in work (arXiv:2410.21680).",
        {(): ratio} if ratio is not None else {},
    )
    saved = newest_checkpoint_time(output_dir)
    yield family(
        GaugeMetricFamily,
        "checkpoint_age_seconds",
        "Time since the newest checkpoint was saved.",
        {(): max(now - saved, 0.0)} if saved is not None else {},
    )
    up = 1.0 if alive(queue.workers(), now) else 0.0
    yield family(GaugeMetricFamily, "daemon_up", "Whether a daemon serves this lineage.", {(): up})
    yield family(GaugeMetricFamily, "metrics_updated_timestamp_seconds", "When these were made.", {(): now})


def _buckets(counted: Tally) -> list[tuple[str, float]]:
    buckets, seen = [], 0
    for bound, count in zip((*RECOVERY_BOUNDS, math.inf), counted.recovery_counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound == math.inf else f"{bound:.1f}", float(seen)))
    return buckets


def newest_checkpoint_time(output_dir: Path) -> float | None:
    """When the newest checkpoint folder was written (unix seconds), None where there is none."""
    try:
        found = [each.stat().st_mtime for each in output_dir.iterdir() if CHECKPOINT_NAME.match(each.name)]
    except OSError:
        return None
    return max(found, default=None)
