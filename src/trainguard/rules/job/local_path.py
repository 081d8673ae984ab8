"""JOB013: a path of the submitter's machine in a job that runs on another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from trainguard.facts.certainty import certainly_runs, guarding_handlers
from trainguard.facts.job import JobFacts
from trainguard.facts.local_paths import (
    PathUse,
    Root,
    asked_about,
    made_by_script,
    outputs,
    overlaps,
    paths_in,
    reads,
    root_of,
)
from trainguard.facts.script import ScriptFacts
from trainguard.findings import Finding
from trainguard.libraries.packages import image_brings
from trainguard.rules.base import Example, Rule, Subject

# A cheap first look at a text: is there anything like such a path in it at all?
_LOCAL = re.compile(
    r"/(?:Users|home|fsx|gpfs|lustre|Volumes|mnt/c)/|\b[A-Za-z]:(?:/(?!/)|\\)|~[\w.-]*[\\/]|[\"']~|\.\.[\\/\"']|\\\\\\\\"
)
_DATA_WORDS = ("data", "file", "path", "corpus", "train", "eval", "input", "model", "config", "checkpoint")
_OUTPUT_WORDS = ("output", "out_", "log", "cache", "save", "dest", "target")
_READ = (
    "{}={!r} is a path of your own machine, which the job's machine does not have, so reading it fails; push the data "
    "to the hub, or mount a volume"
)
_WRITTEN = (
    "{}={!r} is a path of your own machine, and what the job writes there is deleted with the job's machine; write to "
    "a relative folder and push it, or to a mounted volume"
)
_SCRIPT = (
    "script={!r} is a path of your own machine, which the job's machine does not have; pass the source of the script, "
    "or its URL"
)
_FIX_READ = 'load_dataset("user/name"), or volumes=["hf://datasets/user/name:/data"]'
_FIX_WRITTEN = 'a relative folder such as "out", with push_to_hub=True'


class LocalPath(Rule):
    r"""A path of the submitter's machine in a remote job.

    *What it does*

    Looks at the paths that the script reads (`load_dataset`, `pandas`, `open`, `from_pretrained` and their kind) and
    writes its results to, at the script's arguments and at the command, for places that only the submitter's
    machine has: `/Users/…`, `/home/…`, `C:\…`, `/fsx/…`, and for reading `~/…` and `../…`. Silent for paths that
    the script makes or asks about first, for mounted volumes, and for jobs that run on one's own machine.

    *Why it costs you*

    The machine is started, the model is loaded, and then the data is not there; or the run ends well, and its
    result lies in a folder that nobody will see again.

    *Example*

    ```python
    load_dataset("json", data_files="/Users/ann/data/train.jsonl")
    ```

    *Use instead*

    ```python
    load_dataset("ann/my-data")  # after load_dataset("json", …).push_to_hub("ann/my-data", private=True)
    ```
    """

    code = "JOB013"
    name = "local-path"
    severity = "error"
    area = "job"
    needs = frozenset({"job"})

    VALID = (
        Example(
            script='from datasets import load_dataset\nload_dataset("json", data_files="/data/train.jsonl")\n',
            job={"flavor": "l4x1", "volumes": ["hf://datasets/ann/data:/data"]},
        ),
        Example(
            script='import pandas as pd\npd.read_csv("/home/ann/reviews.csv")\n',
            job={"flavor": "l4x1", "volumes": ["hf://buckets/ann/files:/home/ann"]},
            why="A volume is mounted there.",
        ),
        Example(
            script="import os\nfrom datasets import load_dataset\nfrom huggingface_hub import hf_hub_download\n"
            'FOLDER = os.path.expanduser("~/work")\nos.makedirs(FOLDER, exist_ok=True)\n'
            'hf_hub_download("ann/data", "train.jsonl", repo_type="dataset", local_dir=FOLDER)\n'
            'load_dataset("json", data_files=os.path.join(FOLDER, "train.jsonl"))\n',
            job={"flavor": "l4x1"},
            why="The script makes and fills the folder.",
        ),
        Example(
            script='import os\nimport pandas as pd\nLOCAL = "../data/reviews.csv"\n'
            'frame = pd.read_csv(LOCAL if os.path.exists(LOCAL) else "hf://datasets/ann/reviews/reviews.csv")\n',
            job={"flavor": "l4x1"},
            why="The script asks first.",
        ),
        Example(
            script='from transformers import AutoModel\n# was: AutoModel.from_pretrained("/Users/ann/model")\n'
            'AutoModel.from_pretrained("gpt2", cache_dir="~/.cache/models")\n',
            job={"flavor": "l4x1"},
            why="A comment reads nothing, and a cache is made by the library.",
        ),
        Example(
            script='from datasets import load_dataset\nload_dataset("json", data_files="/Users/ann/train.jsonl")\n',
            job={"flavor": "l4x1", "local": True},
            why="The job runs on the submitter's own machine.",
        ),
        Example(
            job={"image": "ann/trainer:3", "command": ["python", "/home/app/train.py"]},
            why="The image may hold a home folder of its own.",
        ),
    )
    INVALID = (
        Example(
            script='from datasets import load_dataset\nload_dataset("json", data_files="/Users/ann/train.jsonl")\n',
            job={"flavor": "l4x1"},
            findings=((2, _READ.format("data_files", "/Users/ann/train.jsonl")),),
        ),
        Example(
            script="from pathlib import Path\nimport pandas as pd\nDATA = Path('../data')\n\n\n"
            "def read(name):\n    return pd.read_csv(DATA / f'{name}.csv')\n\n\nread('reviews')\n",
            job={"flavor": "l4x1"},
            findings=((7, _READ.format("filepath_or_buffer", "../data/reviews.csv")),),
            why="The path is put together from parts.",
        ),
        Example(
            script='from trl import SFTConfig\noptions = {"output_dir": "/fsx/ann/runs"}\nSFTConfig(**options)\n',
            job={"flavor": "l4x1"},
            findings=((2, _WRITTEN.format("output_dir", "/fsx/ann/runs")),),
            why="The option comes in by way of a dict.",
        ),
        Example(
            script="import argparse\nfrom datasets import load_from_disk\nparser = argparse.ArgumentParser()\n"
            'parser.add_argument("--data")\nload_from_disk(parser.parse_args().data)\n',
            job={"flavor": "l4x1", "script_args": ["--data", "C:\\data\\train"]},
            findings=((None, _READ.format("--data", "C:\\data\\train")),),
            why="The path comes in by the script's arguments.",
        ),
        Example(
            job={"image": "ann/trainer:3", "command": "python train.py --output_dir /Users/ann/out"},
            findings=((None, _WRITTEN.format("--output_dir", "/Users/ann/out")),),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        job = subject.job
        if job is None or not job.remote:
            return
        seen: set[str] = set()
        yield from self._script_path(subject, job)
        in_script = subject.script is not None and _may_have_local_paths(subject.script)
        if not in_script and not any(root_of(value) for _, value in _argument_pairs(job)):
            return
        made = _made(subject, job)
        yield from self._arguments(job, made, seen)
        if subject.script is not None and in_script:
            yield from self._script(subject.script, job, made, seen)

    def _script_path(self, subject: Subject, job: JobFacts) -> Iterator[Finding]:
        path = job.script or ""
        if job.script_kind == "path" and subject.script_file != "found" and not path.startswith(".") and root_of(path):
            yield self.finding(_SCRIPT.format(path), fix="script=Path(…).read_text(), or a URL")

    def _arguments(self, job: JobFacts, made: list[str], seen: set[str]) -> Iterator[Finding]:
        for name, value in _argument_pairs(job):
            written = any(word in name for word in _OUTPUT_WORDS)
            named_data = any(word in name for word in _DATA_WORDS)
            root = root_of(value)
            if root is None or (root == "relative" and (written or not named_data)):
                continue
            if value not in seen and _is_elsewhere(value, root, job, made):
                seen.add(value)
                message = (_WRITTEN if written else _READ).format(name, value)
                yield self.finding(message, fix=_FIX_WRITTEN if written else _FIX_READ)

    def _script(self, script: ScriptFacts, job: JobFacts, made: list[str], seen: set[str]) -> Iterator[Finding]:
        asked = list(asked_about(script))
        written = list(outputs(script))
        for use in written:
            path = _local(use, script, job, made, seen)
            if path is not None and root_of(path) != "relative":
                seen.add(path)
                yield self.finding(_WRITTEN.format(use.argument, path), where=use.where, fix=_FIX_WRITTEN)
        made = [*made, *asked, *(path for use in written for path in paths_in(use.value) or ())]
        for use in reads(script):
            path = _local(use, script, job, made, seen)
            if path is not None:
                seen.add(path)
                yield self.finding(_READ.format(use.argument, path), where=use.where, fix=_FIX_READ)


def _local(use: PathUse, script: ScriptFacts, job: JobFacts, made: list[str], seen: set[str]) -> str | None:
    """The path of a use that certainly is one of the submitter's machine."""
    paths = paths_in(use.value) or []
    found = [path for path in paths if (root := root_of(path)) and _is_elsewhere(path, root, job, made)]
    if not found or found[0] in seen or (len(found) < len(paths) and not _is_collection(use)):
        return None
    if not certainly_runs(use.block, script.resolver) or guarding_handlers(use.block):
        return None
    return found[0]


def _is_collection(use: PathUse) -> bool:
    return use.argument in ("data_files", "path_or_paths")


def _is_elsewhere(path: str, root: Root, job: JobFacts, made: list[str]) -> bool:
    """Whether a path is neither on a volume, nor made by the job, nor perhaps part of its image."""
    if root != "machine" and image_brings(job.image) is None:
        return False
    if root != "machine" and job.command is not None and (job.command.clones or job.command.downloads):
        return False
    mounted = [volume.mount_path for volume in job.volumes if volume.mount_path.rstrip("/") != ""]
    if any(path.rstrip("/") == mount.rstrip("/") or path.startswith(mount.rstrip("/") + "/") for mount in mounted):
        return False
    return not overlaps(path, made)


def _made(subject: Subject, job: JobFacts) -> list[str]:
    made = list(made_by_script(subject.script)) if subject.script is not None else []
    commands = list(subject.script.commands) if subject.script is not None else []
    commands += [job.command] if job.command is not None else []
    for command in commands:
        made += command.files
        for launch in command.launches:
            if launch.launcher == "other":  # mkdir, tar, cp, git, hf download, …
                made += [word for word in launch.argv[1:] if root_of(word)]
    return made


def _argument_pairs(job: JobFacts) -> Iterator[tuple[str, str]]:
    """Options with their values, of the script's arguments and of what the command starts."""
    lines = [job.script_args or ()]
    if job.command is not None:
        lines += [launch.argv[1:] for launch in job.command.launches if launch.launcher != "other"]
    for line in lines:
        name = "argument"
        for word in line:
            if word.startswith("-"):
                name, equals, value = word.partition("=")
                if equals:
                    yield name, value
            else:
                yield name, word


def _may_have_local_paths(script: ScriptFacts) -> bool:
    return _LOCAL.search(script.text) is not None or any(root_of(word) for word in script.arguments or ())
