"""What a SOURCE is, streams, TensorBoard files, guarded runs."""

from __future__ import annotations

import json
import os
import struct
import threading
from pathlib import Path

import pytest

from trainguard.errors import UsageError
from trainguard.sources import tensorboard, trackio_store
from trainguard.sources.guarded_run import GuardedRun
from trainguard.sources.recognise import recognise
from trainguard.sources.stdin import Stream

LINE = '{"loss": 1.5, "step": 1}\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trackio_store, "has_trackio", lambda: False)
    return tmp_path


def state(folder: Path, *steps: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    history = [{"loss": 1.0, "step": step} for step in steps]
    text = json.dumps({"global_step": steps[-1], "max_steps": 100, "log_history": history})
    (folder / "trainer_state.json").write_text(text)


def event(tag: str, value: float, step: int, at: float = 0.0) -> bytes:
    """An event as torch's SummaryWriter writes it, with its lengths and empty checksums."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    data = Event(wall_time=at, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))
    content = data.SerializeToString()
    return struct.pack("<QI", len(content), 0) + content + b"\0\0\0\0"


class TestRecognise:
    def test_by_what_lies_there(self, here: Path) -> None:
        (here / "train.log").write_text(LINE)
        state(here / "out" / "checkpoint-5", 5)
        (here / "runs" / "Jan31_12-59-59_host").mkdir(parents=True)
        (here / "runs" / "Jan31_12-59-59_host" / "events.out.tfevents.1.host.1.0").write_bytes(
            event("train/loss", 1, 1)
        )
        (here / "guarded" / "trainguard").mkdir(parents=True)
        (here / "guarded" / "trainguard" / "events.jsonl").write_text("")

        kinds = {
            name: recognise(name).kind
            for name in (
                *("train.log", "out", "out/checkpoint-5", "out/checkpoint-5/trainer_state.json", "runs"),
                *("runs/Jan31_12-59-59_host/events.out.tfevents.1.host.1.0", "guarded", "guarded/trainguard", "-"),
            )
        }

        assert list(kinds.values()) == [
            *("log", "trainer", "trainer", "trainer", "tensorboard", "tensorboard", "guarded", "guarded", "stdin")
        ]

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("trian.log", "there is no such file or folder; did you mean train.log?"),
            ("empty", "is an empty folder"),
            ("logs", "did you mean logs/train.log?"),
            ("parent", "did you mean parent/out?"),
            ("binary", "is a binary file"),
            ("/dev/zero", "is a device or a socket"),
            ("project-x", 'pip install "trainguard[watch]"'),
            ("trackio:", "name a project"),
            ("a\0b", "there is no such file or folder"),
        ],
    )
    def test_what_is_none(self, here: Path, name: str, said: str) -> None:
        (here / "train.log").write_text(LINE)
        (here / "empty").mkdir()
        (here / "logs").mkdir()
        (here / "logs" / "train.log").write_text(LINE)
        state(here / "parent" / "out", 5)
        (here / "binary").write_bytes(b"PK\3\4\0\0")

        with pytest.raises(UsageError) as caught:
            recognise(name)
        assert said in str(caught.value)

    def test_without_trackio_a_project_names_what_to_install(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "trackio", None)
        monkeypatch.setitem(__import__("sys").modules, "trackio.sqlite_storage", None)
        with pytest.raises(UsageError, match=r'pip install "trainguard\[watch\]"'):
            recognise("trackio:mine")
        (here / "x.db").write_bytes(trackio_store.SQLITE)
        with pytest.raises(UsageError, match=r'pip install "trainguard\[watch\]"'):
            recognise("x.db")

    def test_without_tensorboard_it_says_what_to_install(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (here / "events.out.tfevents.1").write_bytes(b"")
        monkeypatch.setitem(__import__("sys").modules, "tensorboard.compat.proto.event_pb2", None)
        with pytest.raises(UsageError, match=r'pip install "trainguard\[watch\]"'):
            recognise("events.out.tfevents.1")

    def test_a_link_out_of_the_folder_is_not_followed(self, here: Path) -> None:
        state(here / "secret" / "checkpoint-9", 9)
        (here / "secret" / "events.out.tfevents.1").write_bytes(event("train/loss", 1, 1))
        (here / "out").mkdir()
        for name in ("checkpoint-9", "events.out.tfevents.1"):
            os.symlink(here / "secret" / name, here / "out" / name)
        os.symlink(here / "secret", here / "out" / "runs")

        with pytest.raises(UsageError, match="no checkpoint-N with one and no TensorBoard events"):
            recognise("out")

    def test_the_folder_itself_may_be_a_link(self, here: Path) -> None:
        state(here / "real" / "checkpoint-9", 9)
        os.symlink("real", here / "out")

        assert len(list(recognise("out").poll())) == 1


class TestStream:
    def test_it_ends_with_its_writer(self) -> None:
        reader, writer = os.pipe()
        source = Stream(reader, "<stdin>", owned=True)
        assert list(source.poll()) == []
        os.write(writer, LINE.encode() + b'{"loss": 2, "st')
        assert [each["loss"] for each in source.poll()] == [1.5]
        os.write(writer, b'ep": 2}')
        os.close(writer)
        assert [each["loss"] for each in source.poll()] == [2]
        assert source.closed
        source.close()

    def test_once_reads_to_the_end(self) -> None:
        reader, writer = os.pipe()

        def write() -> None:
            for step in range(20_000):
                os.write(writer, f'{{"loss": 1.5, "step": {step}}}\n'.encode())
            os.close(writer)

        thread = threading.Thread(target=write)
        thread.start()
        source = Stream(reader, "<stdin>", owned=True)
        steps = [each["step"] for each in source.poll(last=True)]
        thread.join()
        source.close()

        assert steps == list(range(20_000))

    def test_a_fifo_without_a_writer_does_not_hang(self, here: Path) -> None:
        os.mkfifo(here / "fifo")
        source = recognise("fifo")

        assert list(source.poll(last=True)) == []
        source.close()


class TestTensorBoard:
    def test_it_follows_and_completes_torn_events(self, here: Path) -> None:
        whole = [event("train/loss", 3 - step / 10, step, 100.0 + step) for step in range(4)]
        path = here / "events.out.tfevents.1"
        path.write_bytes(whole[0] + whole[1] + whole[2][:9])
        source = recognise(str(path))

        assert [each["step"] for each in source.poll()] == [0]  # the last may still get other scalars
        assert [each["step"] for each in source.poll()] == [1]
        with open(path, "ab") as file:
            file.write(whole[2][9:] + whole[3])
        assert [each["step"] for each in source.poll()] == [2]
        assert [(each["step"], each["t"]) for each in source.poll()] == [(3, 3.0)]
        source.close()

    @pytest.mark.parametrize(
        "content",
        [
            b"\xff" * 100,
            struct.pack("<QI", 1 << 60, 0),
            struct.pack("<QI", 5, 0) + b"hello" + b"\0\0\0\0",
            b"",
            b"\0" * 16 * 1000,
        ],
    )
    def test_damaged_files(self, here: Path, content: bytes) -> None:
        path = here / "events.out.tfevents.1"
        path.write_bytes(content)
        source = recognise(str(path))

        assert list(source.poll(last=True)) == []
        source.close()

    def test_damage_is_told_and_what_came_before_is_kept(self, here: Path) -> None:
        path = here / "events.out.tfevents.1"
        path.write_bytes(event("train/loss", 1.0, 1) + b"\xff" * 64)
        source = recognise(str(path))

        assert [each["loss"] for each in source.poll(last=True)] == [1.0]
        assert "is damaged from byte" in source.notes[0]
        source.close()

    def test_the_newest_of_several_runs(self, here: Path) -> None:
        for age, name in ((100, "old"), (0, "new")):
            (here / "runs" / name).mkdir(parents=True)
            path = here / "runs" / name / "events.out.tfevents.1"
            path.write_bytes(event("train/loss", float(age), 1))
            os.utime(path, (1e9 - age, 1e9 - age))
        source = recognise("runs")

        assert [each["loss"] for each in source.poll(last=True)] == [0.0]
        assert "2 runs are here; the newest is watched, new" in source.notes[0]
        source.close()

    def test_folders_are_not_searched_without_end(self, here: Path) -> None:
        deep = here / "a" / "b" / "c" / "d" / "e" / "f"
        deep.mkdir(parents=True)
        (deep / "events.out.tfevents.1").write_bytes(event("train/loss", 1.0, 1))

        assert tensorboard.event_files(here) == []


class TestGuardedRun:
    def lines(self, here: Path, name: str, *lines: dict[str, object]) -> None:
        folder = here / "out" / "trainguard"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / name, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def test_events_signs_of_life_and_the_trainers_history(self, here: Path) -> None:
        finding = {"severity": "warn", "message": "m", "code": "RUN003", "step": 5}
        self.lines(
            here,
            "events.jsonl",
            {"time": 1e9, "t": 5000.0, "step": 0, "event": "start"},
            {"time": 1e9, "t": 5020.0, "step": 5, "event": "finding", "finding": finding},
        )
        self.lines(here, "heartbeat.jsonl", {"time": 1e9, "t": 5021.0, "pid": 1, "phase": "train", "step": 6})
        state(here / "out" / "checkpoint-5", 5)
        source = recognise("out")

        records = list(source.poll())
        assert [each.get("event", each.get("loss", each.get("tick"))) for each in records] == [
            *("start", "finding", 1.0, "phase", True)
        ]
        assert [each["t"] for each in records if "t" in each] == [0.0, 20.0, 21.0, 21.0]
        assert records[-1]["step"] == 6
        assert source.declared["max_steps"] == 100
        assert not source.ended

        assert list(source.poll()) == []
        self.lines(here, "events.jsonl", {"t": 5030.0, "step": 9, "event": "end", "exit_code": 0})
        assert [each["event"] for each in source.poll()] == ["end"]
        assert source.ended
        source.close()

    def test_the_last_metrics_come_before_the_end_and_events_are_told_once(self, here: Path) -> None:
        self.lines(here, "events.jsonl", {"t": 1.0, "step": 0, "event": "start"})
        state(here / "out" / "checkpoint-5", 4, 5)
        source = recognise("out")
        assert [each.get("event", each.get("step")) for each in source.poll()] == ["start", 4, 5]

        # Resumed from step 4, step 5 done again, and ended.
        self.lines(here, "events.jsonl", {"t": 2.0, "step": 4, "event": "resume"}, {"t": 3.0, "event": "end"})
        state(here / "out" / "checkpoint-6", 4, 6)
        records = list(source.poll())

        assert [each.get("event", each.get("step")) for each in records] == ["resume", 6, "end"]
        assert records[0]["from_step"] == 4

    def test_metrics_among_the_events_go_before_the_trainers_history(self, here: Path) -> None:
        self.lines(here, "events.jsonl", {"t": 1.0, "step": 5, "event": "metrics", "loss": "nan"})
        state(here / "out" / "checkpoint-5", 5)

        records = list(GuardedRun(here / "out", "out").poll())

        assert len(records) == 1
        assert str(records[0]["loss"]) == "nan"

    def test_the_machine_was_started_again(self, here: Path) -> None:
        self.lines(here, "events.jsonl", {"t": 900_000.0, "event": "start"}, {"t": 900_060.0, "event": "save"})
        self.lines(here, "events.jsonl", {"t": 30.0, "event": "resume", "step": 5}, {"t": 40.0, "event": "save"})

        assert [each["t"] for each in GuardedRun(here / "out", "out").poll()] == [0.0, 60.0, 60.0, 70.0]

    def test_torn_and_hostile_lines(self, here: Path) -> None:
        self.lines(here, "events.jsonl", {"event": "start", "t": "x"}, {"event": ["a"], "t": None}, {"t": 1e400})
        with open(here / "out" / "trainguard" / "events.jsonl", "ab") as file:
            file.write(b"[1]\n\xff\xfe\n{\n" + b"[" * 100_000 + b"\n" + b'{"event": "end"')

        records = list(GuardedRun(here / "out", "out").poll())

        assert [each["event"] for each in records] == ["start"]
