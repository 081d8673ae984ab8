"""Recall, false alarms and delay on the labelled traces: ours, and what others do on the same stream.

    python benchmarks/signals.py [--trainproof PYTHON] [--folder FOLDER ...] [--misses]

Beside ours stand three. Each rule is asked record by record, and what it finds is translated into our codes; a rule
that speaks of several is given the one that the label wants.

- *Lightning-style*: `EarlyStopping(check_finite=True)` on loss and eval_loss, and `SpikeDetection` with its defaults
  (running mean of 10, warm-up 1, rtol 2.0), written anew after lightning 2.6.6 (pytorch/callbacks/early_stopping.py,
  fabric/utilities/spike.py). Either ends the run, so that nothing is said after it.
- *SageMaker Debugger's rules*, written anew with the defaults that AWS's "List of Debugger built-in rules" gives, on
  the metrics that are logged instead of the tensors that the service saves: ExplodingTensor (NaN or infinite loss or
  norm), VanishingGradient (1e-7, here of the norm), LossNotDecreasing (every 10 steps at least 0.1 % lower than 10
  steps before), Overfit (validation 0.1 above the training loss, relative, patience 1), Overtraining (no better by
  0.01 in 5 training or 10 validation points), StalledTrainingRule (1800 s). They raise an issue and stop nothing by
  default.
- *trainproof* 0.22 from PyPI, by its own `check_records`, asked after each record as its `watch` does (from ten losses
  on, and at the end), with its stall limit of 300 s. `--trainproof` names an interpreter that has it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.traces.scoring import FOLDERS, Said, Score, Summary, Trace, heard, score, traces

from trainguard import watch_metrics

Record = Mapping[str, Any]
Alarm = tuple[int, str, frozenset[str]]  # index, severity, the codes that it can stand for
TARGETS = "targets: recall >= 95 %, no stop, warns on <= 2 % of the healthy, median delay <= 3 points"


def number(record: Record, key: str) -> float | None:
    value = record.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def lightning(trace: Trace) -> Iterator[Alarm]:
    """check_finite, then the spike detector; the first to speak ends the run."""
    window: deque[float] = deque(maxlen=10)
    last, batch = 0.0, 0
    for index, record in enumerate(trace.records):
        for key in ("loss", "eval_loss"):
            value = number(record, key)
            if value is not None and not math.isfinite(value):
                yield index, "error", frozenset({"RUN001", "RUN002"})
                return
        loss = number(record, "loss")
        if loss is None:
            continue
        if batch >= 1 and loss > last and abs(loss - fmean(window)) >= abs(2.0 * fmean(window)):
            yield index, "error", frozenset({"RUN003"})
            return
        window.append(loss)
        last, batch = loss, batch + 1


def sagemaker(trace: Trace) -> Iterator[Alarm]:
    """Every rule for itself; each raises its issue once."""
    for rule in (exploding, vanishing, not_decreasing, overfit, overtraining, stalled):
        found = next(rule(trace), None)
        if found is not None:
            yield found


def exploding(trace: Trace) -> Iterator[Alarm]:
    for index, record in enumerate(trace.records):
        for key in ("loss", "grad_norm", "eval_loss"):
            value = number(record, key)
            if value is not None and not math.isfinite(value):
                yield index, "warn", frozenset({"RUN001", "RUN002", "RUN020"})


def vanishing(trace: Trace) -> Iterator[Alarm]:
    for index, record in enumerate(trace.records):
        norm = number(record, "grad_norm")
        if norm is not None and norm < 1e-7:
            yield index, "warn", frozenset({"RUN020"})


def not_decreasing(trace: Trace) -> Iterator[Alarm]:
    seen: list[tuple[float, float]] = []
    checked = 0.0
    for index, record in enumerate(trace.records):
        loss, step = number(record, "loss"), number(record, "step")
        if loss is None:
            continue
        step = float(len(seen)) if step is None else step
        before = next((value for at, value in reversed(seen) if at <= step - 10), None)
        if before is not None and step >= checked + 10:
            checked = step
            if not loss < before * (1 - 0.1 / 100):
                yield index, "warn", frozenset({"RUN003", "RUN004", "RUN018"})
        seen.append((step, loss))


def overfit(trace: Trace) -> Iterator[Alarm]:
    loss, above = None, 0
    for index, record in enumerate(trace.records):
        loss = number(record, "loss") or loss
        evaluation = number(record, "eval_loss")
        if evaluation is None or not loss:
            continue
        above = above + 1 if (evaluation - loss) / loss > 0.1 else 0
        if above >= 1:
            yield index, "warn", frozenset({"RUN005"})


def overtraining(trace: Trace) -> Iterator[Alarm]:
    for key, patience in (("loss", 5), ("eval_loss", 10)):
        best, waited = math.inf, 0
        for index, record in enumerate(trace.records):
            value = number(record, key)
            if value is None:
                continue
            best, waited = (value, 0) if value < best - 0.01 else (best, waited + 1)
            if waited > patience:
                yield index, "warn", frozenset({"RUN004", "RUN005"})
                break


def stalled(trace: Trace) -> Iterator[Alarm]:
    last = 0.0
    for index, record in enumerate(trace.records):
        time = number(record, "t")
        if time is None:
            continue
        if "tick" not in record:
            last = time
        elif time - last > 1800:
            yield index, "warn", frozenset({"RUN008"})


# What trainproof's findings can stand for.
TRAINPROOF = {
    "TP-NAN": "RUN001 RUN002",
    "TP-NAN-GRAD": "RUN001 RUN002 RUN020",
    "TP-ZERO-LOSS": "RUN018 RUN001",
    "TP-ZERO-LOSS-ONSET": "RUN018 RUN001",
    "TP-FLAT": "RUN004",
    "TP-DEAD-RUN": "RUN004 RUN003",
    "TP-DIVERGE": "RUN003",
    "TP-ZERO-GRAD": "RUN020",
    "TP-GRAD-SPIKE": "RUN020 RUN003",
    "TP-ZERO-LR": "RUN019",
    "TP-ZERO-LR-PARTIAL": "RUN019",
    "TP-OVERFIT": "RUN005",
    "TP-STEP-CLIFF": "RUN009",
    "TP-LOADER-BOUND": "RUN009",
    "TP-STALL": "RUN008",
    "TP-NO-LOSS": "RUN015",
    "TP-NO-RECORDS": "RUN015",
}
# Runs in the interpreter that has trainproof: traces from standard input, findings to standard output.
ADAPTER = """
import json, sys
from trainproof.epoch import check_records
NAMES = {name: name for name in ("loss", "eval_loss", "step", "grad_norm")} | {"learning_rate": "lr", "t": "time"}
for line in sys.stdin:
    rows, losses, known, found, last, before = [], 0, set(), [], None, None
    records = json.loads(line)
    def ask(index):
        for one in check_records(rows)["findings"]:
            if one["level"] in ("WARN", "FAIL") and one["id"] not in known:
                known.add(one["id"])
                found.append([index, one["level"], one["id"]])
    for index, record in enumerate(records):
        t = record.get("t")
        if record.get("tick"):
            if t is not None and last is not None and t - last > 300 and "TP-STALL" not in known:
                known.add("TP-STALL")
                found.append([index, "WARN", "TP-STALL"])
            continue
        if t is not None:
            last = t
        if "loss" not in record and "eval_loss" not in record:
            continue
        row = {NAMES[key]: value for key, value in record.items() if key in NAMES and value is not None}
        if "loss" in row:
            losses += 1
            if before is not None and t is not None and record.get("step", 0) > before[0]:
                row["step_time"] = (t - before[1]) / (record["step"] - before[0])
            if t is not None and "step" in record:
                before = (record["step"], t)
        rows.append(row)
        if losses >= 10:
            ask(index)
    ask(len(records) - 1)
    print(json.dumps(found))
"""


def trainproof(python: str, asked: list[Trace]) -> list[list[Alarm]] | None:
    """trainproof's findings for each trace, or None where the interpreter has none of it."""
    text = "".join(json.dumps(trace.records) + "\n" for trace in asked)
    done = subprocess.run([python, "-c", ADAPTER], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        if "No module named 'trainproof'" in done.stderr:
            return None
        raise RuntimeError(done.stderr[-800:])
    levels = {"WARN": "warn", "FAIL": "error"}
    return [
        [(index, levels[level], frozenset(TRAINPROOF.get(code, "").split())) for index, level, code in json.loads(line)]
        for line in done.stdout.splitlines()
    ]


def translated(trace: Trace, alarms: list[Alarm]) -> list[Said]:
    """Each alarm as the code that suits the trace best: a label's, one of `also`, or any."""
    wanted = [label["code"] for label in trace.labels]
    said = []
    for index, severity, codes in sorted(alarms, key=lambda alarm: alarm[0]):
        fitting = [code for code in (*wanted, *trace.header["also"]) if code in codes]
        said += [Said(code=code, severity=severity, index=index) for code in fitting or [min(codes, default="?")]]
    return said


def ours(trace: Trace) -> Score:
    header = trace.header
    return score(
        trace,
        heard(lambda records: watch_metrics(records, method=header["method"], declared=header["declared"]), trace),
    )


def table(columns: Mapping[str, Summary | None]) -> str:
    """The figures, one watcher a line."""
    rows = [("", "recall", "stops", "healthy warned", "delay (points)", "wrong codes on faulty")]
    for name, summary in columns.items():
        if summary is None:
            rows.append((name, "not installed", "", "", "", ""))
            continue
        count, of = len(summary.false_warns), len(summary.healthy)
        warned = f"{count}/{of} ({count / max(1, of):.1%})"
        rows.append(
            (
                name,
                f"{summary.recall:.1%} of {summary.labels}",
                str(len(summary.stops)),
                warned,
                f"{summary.delay:g}",
                str(len(summary.others)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainproof", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--folder", type=Path, nargs="*", default=list(FOLDERS))
    parser.add_argument("--misses", action="store_true", help="list what ours missed and said wrongly")
    options = parser.parse_args()
    asked = list(traces(options.folder))

    def of(rule: Callable[[Trace], Iterator[Alarm]]) -> Summary:
        return Summary([score(trace, translated(trace, list(rule(trace)))) for trace in asked])

    proof = trainproof(options.trainproof, asked)
    mine = Summary([ours(trace) for trace in asked])
    columns: dict[str, Summary | None] = {
        "trainguard": mine,
        "Lightning-style": of(lightning),
        "SageMaker's rules": of(sagemaker),
        "trainproof 0.22": None
        if proof is None
        else Summary([score(trace, translated(trace, alarms)) for trace, alarms in zip(asked, proof, strict=True)]),
    }
    print(f"{len(asked)} traces, {len(mine.healthy)} healthy. {TARGETS}\n")
    print(table(columns))
    if options.misses:
        for title, names in (
            ("missed", mine.missed),
            ("too weak", mine.too_weak),
            ("stops", mine.stops),
            ("healthy warned", mine.false_warns),
            ("wrong codes on faulty", mine.others),
        ):
            print(f"\n{title} ({len(names)}):", *names, sep="\n  ")
    met = mine.recall >= 0.95 and not mine.stops and mine.delay <= 3
    sys.exit(not (met and len(mine.false_warns) <= 0.02 * max(1, len(mine.healthy))))


if __name__ == "__main__":
    main()
