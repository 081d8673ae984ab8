"""A trainer without torch, for tests of the daemon: real formats, real signals, no learning. Starts in 0.2 s.

`python -m trainguard.drills.process._tiny_trainer CONFIG [--set FIELD=VALUE …] [--file-id ID] [--skip-steps A-B …]
[--before-step N] [--on-top] [--format json]` behaves outside as `trainguard train` does: it takes the folder's lock,
settles what a killed run left, goes on from the newest checkpoint that verifies (the same file resumes, another one is
trained on top), writes `trainguard/heartbeat.jsonl` and `trainguard/events.jsonl`, checkpoints with manifests through a
staging folder, and `final`; SIGTERM saves and exits with 75; SIGUSR1 writes the stacks; a lower TRAINGUARD_FENCE than
`trainguard/fence` commits nothing and exits with 75. A row of the data is one line. Own steps = rows / (batch_size *
gradient_accumulation), rounded up, times epochs.

Each checkpoint and `final` hold `seen.json`: [[file id, epoch, row], …], all rows of the lineage in the order in which
they went into the weights. With it a test can say that each row of a file went in exactly once.

The environment variable TINY_TRAINER names a JSON file with what is to go wrong (read at each start):

    {"step_seconds": 0.02, "load_seconds": 0, "faults": [
        {"what": "nan", "file": "b.jsonl", "step": 4, "times": 1}, …]}

`file` is a part of the data's path or of the file id (any file without it), `step` this file's own step before which it
happens (1: before the first; 0: while loading; "save": in the next save, when its files are written and it has no
manifest yet, "saved": when it has one and only its name is missing), `times` how often in all (once without it; null
for ever), counted over processes in `<that file>.done`.
`what`:
    nan          the finding RUN001 of this step, exit 1           oom       RUN010, CUDA's text, exit 1; with "fits": N
    data         DATA004 of the training file, exit 1                        only while batch_size is above N
    config       CFG004 of the configuration, exit 1               ram       MemoryError: RUN011, exit 1
    raise        an uncaught exception (RUN022), exit 1            network   a hub error's text, exit 1
    kill         SIGKILL to itself                                 exit      exit with "code"
    hang         sleeps for ever                                   hang-gil  in C with the GIL held, deaf to SIGTERM
    stop         SIGSTOP to itself                                 deaf      SIGTERM is ignored from now on
    disk-full    RUN025, ENOSPC's text, exit 1                     corrupt   cuts the newest checkpoint's weights short
    orphan       leaves a grandchild in a session of its own       early     exit 0 with steps missing
                 that writes its pid to `orphan.pid`               slow      this step takes "seconds"
"""

from __future__ import annotations

import argparse
import errno
import faulthandler
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trainguard.checkpoints import quarantine, remove
from trainguard.facts.checkpoint.manifest import read_manifest
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.verify import verify
from trainguard.facts.config.reading import read_config
from trainguard.fencing import read_fence
from trainguard.findings import Finding
from trainguard.signals.codes import run_finding
from trainguard.train.events import EventLog
from trainguard.train.final_save import save_final
from trainguard.train.heartbeat import Heartbeat
from trainguard.train.resuming import settle
from trainguard.train.run_lock import RunLock
from trainguard.train.staging import Staging

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB of "
    "which 1.25 GiB is free. Including non-PyTorch memory, this process has 6.75 GiB memory in use."
)
HUB = (
    "huggingface_hub.errors.HfHubHTTPError: 503 Server Error: Service Unavailable for url: "
    "https://huggingface.co/api/models/x"
)


class EndedError(Exception):
    """The run is over, with an exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Trainer:
    def __init__(self, arguments: argparse.Namespace) -> None:
        flags = dict(each.split("=", 1) for each in arguments.set)
        facts = read_config(Path(arguments.config), environment={}, flags=flags)
        assert facts.run is not None, facts.problems
        assert facts.named.output_dir is not None
        assert facts.named.data[0].path is not None
        self.run, self.output = facts.run, facts.named.output_dir
        self.data = facts.named.data[0].path
        rows = [line for line in self.data.read_bytes().splitlines() if line.strip()]
        self.file_id = arguments.file_id or self.data.name
        self.batch, self.accumulation = self.run.batch_size, self.run.gradient_accumulation
        size = self.batch * self.accumulation
        epochs = max(1, round(self.run.epochs))
        order = [[[epoch, row] for row in range(len(rows))] for epoch in range(epochs)]
        self.steps = [each[at : at + size] for each in order for at in range(0, len(each), size)]
        self.skipped = [tuple(int(part) for part in each.split("-")) for each in arguments.skip_steps]
        self.before_step, self.on_top = arguments.before_step, arguments.on_top
        self.plan = json.loads(Path(os.environ["TINY_TRAINER"]).read_bytes()) if "TINY_TRAINER" in os.environ else {}
        self.done_file = Path(os.environ.get("TINY_TRAINER", "none") + ".done")
        self.fence = int(os.environ.get("TRAINGUARD_FENCE", "0"))
        own = self.output / "trainguard"
        own.mkdir(parents=True, exist_ok=True)
        self.heart, self.events = Heartbeat(own / "heartbeat.jsonl", every_seconds=0.05), EventLog(own / "events.jsonl")
        self.asked = False
        self.stacks = (own / "stacks.txt").open("a")
        faulthandler.register(signal.SIGUSR1, file=self.stacks, all_threads=True)
        signal.signal(signal.SIGTERM, self._term)

    def _term(self, *_: object) -> None:
        self.asked = True

    def say(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event, "time": time.time(), **values}), flush=True)

    def finding(self, finding: Finding) -> None:
        self.events.finding(finding)
        self.say("finding", finding=finding.to_dict())

    def end(self, code: int, done: int, words: str = "") -> EndedError:
        self.events.event("end", step=self.step_before + done, exit_code=code)
        self.say("end", code=code, steps=done, planned=len(self.steps), words=words)
        self.heart.beat("idle")
        return EndedError(code)

    def train(self) -> int:
        lock = RunLock(self.output)
        settle(self.output, lock)
        if lock.take() == "taken":
            print(f"Error: {self.output}: another process trains into this folder", file=sys.stderr)
            return 2
        try:
            return self._train()
        except EndedError as ended:
            return ended.code
        finally:
            lock.release()

    def _train(self) -> int:
        self.step_before = self.step = 0
        self.heart.beat("load")
        self.fault(0)
        time.sleep(float(self.plan.get("load_seconds", 0)))
        latest = self._latest()
        made, file_number, history, seen = 0, 1, [], []
        if latest is not None:
            manifest = read_manifest(latest)
            assert manifest is not None
            last: dict[str, Any] = manifest.run
            seen = json.loads((latest / "seen.json").read_bytes())
            self.step, file_number, history = manifest.step, last["file_number"], last["history"]
            if last["file_id"] == self.file_id:
                self.step_before = last["step_before"]
                made = self.step - self.step_before
                self.skipped = self.skipped or [tuple(each) for each in last["skipped"]]
            else:
                then = self.step - last["step_before"]
                if then < last["planned_steps"] and not self.on_top:
                    print(f"Error: {latest} would stay unfinished", file=sys.stderr)
                    return 2
                history = [*history, {"file_id": last["file_id"], "steps": then, "last_step": self.step}]
                file_number, self.step_before = file_number + 1, self.step
        for first, end in self.skipped:
            del self.steps[first - 1 : end]
        planned = len(self.steps)
        self.manifest: dict[str, Any] = {
            "data_hash": self.file_id,
            "file_id": self.file_id,
            "step_before": self.step_before,
            "planned_steps": planned,
            "file_number": file_number,
            "effective_batch": self.batch * self.accumulation,
            "fields": {},
            "data": [{"name": self.data.name}],
            "history": history,
            "skipped": [list(each) for each in self.skipped],
        }
        start = {
            "kind": "fresh" if latest is None else "resume" if made else "next",
            "checkpoint": str(latest) if latest is not None else None,
            "step": self.step,
            "step_before": self.step_before,
            "steps_made": made,
            "planned_steps": planned,
            "file_number": file_number,
        }
        self.say("plan", plan={"steps": planned}, start=start)
        self.events.event("attempt", pid=os.getpid(), **start)  # type: ignore[arg-type]
        if made >= planned:
            if (self.output / "final" / "seen.json").is_file() and self._final_step() == self.step:
                raise self.end(0, made, "already complete")
            return self._finish(made, seen)
        self.events.event("resume" if self.step else "start", step=self.step, method="sft")
        self.heart.beat("train", step=self.step)
        saved = made
        for number in range(made + 1, planned + 1):
            self.fault(number)
            time.sleep(float(self.plan.get("step_seconds", 0.01)))
            seen += [[self.file_id, *row] for row in self.steps[number - 1]]
            self.step = self.step_before + number
            self.heart.beat("train", step=self.step)
            self.events.event("metrics", step=self.step, metrics={"loss": 2.0 / (1 + 0.01 * self.step)})
            every = int(self.run.save.steps or 2)
            if number % every == 0 or number == planned or self.asked:
                self.save(seen)
                saved = number
            if self.asked and number < planned:
                raise self.end(75, number, "stopped on request")
        assert saved == planned
        return self._finish(planned, seen)

    def _finish(self, done: int, seen: list[Any]) -> int:
        self.heart.beat("save", step=self.step)
        self._check_fence()
        path = save_final(
            self.output, lambda folder: self._write(folder, seen), step=self.step, run=self.manifest, base_model=None
        )
        self.say("saved", path=str(path), step=self.step)
        self.events.event("save", step=self.step, path=str(path), final=True)
        raise self.end(0, done)

    def _final_step(self) -> int | None:
        manifest = read_manifest(self.output / "final")
        return manifest.step if manifest is not None else None

    def _latest(self) -> Path | None:
        found = [each for each in reversed(checkpoint_folders(self.output)) if verify(each, self.output).verified]
        while found and self.before_step is not None and _number(found[0]) >= self.before_step:
            quarantine(found.pop(0), reasons=[f"after step {self.before_step} of a fault"])
        return found[0] if found else None

    def save(self, seen: list[Any]) -> None:
        self.heart.beat("save", step=self.step)
        place = Staging(run_dir=self.output, step=self.step)
        place.begin()
        place.staged.mkdir(parents=True)
        self._write(place.staged, seen)
        self.fault("save")
        self._check_fence()
        place.mark_saved(self.manifest, None)
        self.fault("saved")
        place.finish(self.manifest, None)
        self.events.event("save", step=self.step)
        self.events.event("verified", step=self.step, checkpoint=place.name)
        self.heart.beat("train", step=self.step)
        keep = max(2, self.run.save.keep or 5)
        for folder in checkpoint_folders(self.output)[:-keep]:
            if _number(folder) != self.step_before:  # where a fault of this file's first steps goes back to
                remove(folder)

    def _write(self, folder: Path, seen: list[Any]) -> None:
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        header += b" " * (-len(header) % 8)
        weights = struct.pack("<Q", len(header)) + header + struct.pack("<f", 1.0 + self.step)
        (folder / "model.safetensors").write_bytes(weights)
        # A layout that is not a Trainer's, so that files of torch are not asked for: the manifest vouches.
        (folder / "optimizer.bin").write_bytes(b"none")
        (folder / "seen.json").write_text(json.dumps(seen))
        state = {"global_step": self.step, "max_steps": self.step_before + len(self.steps), "log_history": []}
        (folder / "trainer_state.json").write_text(json.dumps(state))

    def _check_fence(self) -> None:
        highest = read_fence(self.output)
        if highest != self.fence:
            self.events.event("fenced", step=self.step, fence=self.fence, highest=highest)
            raise self.end(75, self.step - self.step_before, f"fenced: another process has number {highest}")

    # What goes wrong.

    def fault(self, step: int | str) -> None:
        for number, each in enumerate(self.plan.get("faults", ())):
            named = each.get("file")
            if each.get("step", 1) != step or (named and named not in str(self.data) and named not in self.file_id):
                continue
            if "fits" in each and self.batch <= each["fits"]:
                continue
            times = each.get("times", None if "fits" in each else 1)
            if times is not None and self._happened(number) >= times:
                continue
            with self.done_file.open("a") as file:
                file.write(f"{number}\n")
            self._happen(each)

    def _happened(self, number: int) -> int:
        try:
            return self.done_file.read_text().split().count(str(number))
        except OSError:
            return 0

    def _happen(self, fault: dict[str, Any]) -> None:  # noqa: C901, PLR0915 - a table of faults
        what, step = fault["what"], self.step + 1
        done = self.step - self.step_before
        match what:
            case "nan":
                self.finding(run_finding("RUN001", f"the loss is NaN at step {step}", step=step))
                raise self.end(1, done)
            case "oom":
                print(OOM, file=sys.stderr, flush=True)
                words = f"the GPU ran out of memory at step {step} with batch_size={self.batch}"
                self.finding(run_finding("RUN010", words, step=step, evidence={"phase": "train"}))
                raise self.end(1, done)
            case "ram":
                self.finding(run_finding("RUN011", "MemoryError: memory ran out", step=step))
                raise self.end(1, done)
            case "data":
                message = f"{self.data}: line 3 is no JSON"
                self.finding(Finding(severity="error", code="DATA004", name="malformed-json", message=message))
                raise self.end(1, done)
            case "config":
                message = "learning_rate: got -1, expected more than 0"
                self.finding(Finding(severity="error", code="CFG004", name="out-of-range", message=message))
                raise self.end(1, done)
            case "network":
                print(HUB, file=sys.stderr, flush=True)
                raise self.end(1, done)
            case "disk-full":
                self.finding(run_finding("RUN025", "the disk is full: the checkpoint was not saved", step=step))
                print(f"OSError: [Errno {errno.ENOSPC}] No space left on device", file=sys.stderr, flush=True)
                raise self.end(1, done)
            case "raise":
                self.finding(
                    run_finding("RUN022", f"ValueError at step {step}: {fault.get('words', 'bad')}", step=step)
                )
                raise self.end(1, done)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "exit":
                raise EndedError(int(fault.get("code", 1)))
            case "early":
                raise EndedError(0)
            case "hang":
                time.sleep(100_000)
            case "hang-gil":
                import ctypes

                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                # PyDLL calls with the GIL held (ctypes documentation). A mutex that one thread locks twice: unlike a
                # sleep, this wait is not ended by a signal (pthread_mutex_lock(3p)).
                mutex, lock = ctypes.create_string_buffer(128), ctypes.PyDLL(None).pthread_mutex_lock
                lock(mutex)
                lock(mutex)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case "slow":
                time.sleep(float(fault.get("seconds", 1)))
            case "corrupt":
                # Of its own. Where the end of a file that is done is damaged, a person is asked.
                for folder in checkpoint_folders(self.output)[-1:]:
                    manifest = read_manifest(folder)
                    if manifest is not None and manifest.run.get("file_id") == self.file_id:
                        os.truncate(folder / "model.safetensors", 7)
            case "orphan":
                code = "import os, time; open('orphan.pid', 'w').write(str(os.getpid())); time.sleep(1000)"
                subprocess.Popen([sys.executable, "-I", "-S", "-c", code], start_new_session=True, cwd=self.output)
            case _:
                raise ValueError(f"there is no fault {what!r}")


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--file-id")
    parser.add_argument("--skip-steps", action="append", default=[])
    parser.add_argument("--before-step", type=int)
    parser.add_argument("--on-top", action="store_true")
    parser.add_argument("--format", default="text")
    return Trainer(parser.parse_args()).train()


if __name__ == "__main__":
    sys.exit(main())
