"""SEC001: loading a model, a checkpoint or a file runs code that others wrote."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Class,
    Constant,
    Function,
    Instance,
    Partial,
    Table,
    Text,
    Value,
    constant,
    is_none,
    options,
    text,
    truth,
)
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

# A commit is a pin, a branch moves. What is neither a commit nor one of these may be a tag, which seldom moves.
_BRANCHES = {"main", "master", "HEAD", "dev", "develop", "latest"}
_REVISIONS = ("code_revision", "revision", "model_revision")
_NESTED = ("model_init_kwargs", "model_kwargs", "tokenizer_kwargs", "config_kwargs")
# Positions and names under which the repository is given: `from_pretrained`, `pipeline`, `LLM`, `SentenceTransformer`.
_REPOSITORY = ("pretrained_model_name_or_path", "model", "model_name", "model_name_or_path", "path", "repo_id")
# Readers of pickles (docs.python.org/3/library/pickle.html: "never unpickle data … from an untrusted source"), which
# package writes what they read, and by which function.
_PICKLES = {
    "pickle": {"load", "loads", "Unpickler"},
    "cPickle": {"load", "loads"},
    "_pickle": {"load", "loads"},
    "cloudpickle": {"load", "loads"},
    "dill": {"load", "loads", "load_session"},
    "joblib": {"load"},
    "pandas": {"read_pickle"},
    "numpy": {"load"},
}
_WRITERS = {"dump", "dumps", "dump_session", "to_pickle", "save", "savez", "savez_compressed", "Pickler"}
_WORDS = frozenset({"trust_remote_code", "torch", *_PICKLES})
# torch 2.6 made weights_only=True the default (release notes of PyTorch 2.6).
_SAFE_TORCH = (2, 6)

_REMOTE_CODE = (
    "trust_remote_code=True runs whatever code {} holds on the day, and no commit is pinned; add "
    'revision="<commit hash>" after reading that code'
)
_TORCH_LOAD = (
    "torch.load without weights_only=True unpickles the file, which runs any code that it holds; add "
    "weights_only=True, or store the weights as safetensors"
)
_PICKLE = (
    "{} unpickles what it is given, which runs any code in it; use a format that holds data only, such as safetensors, "
    "JSON, Parquet or .npy"
)


class CodeExecutionOnLoad(Rule):
    """Code of others that runs when something is loaded.

    *What it does*

    Fires for `trust_remote_code=True` without a `revision` that is a commit, for `torch.load` without
    `weights_only=True`, and for reading pickles. It is silent about files that the script itself has written,
    and about `torch.load` where the declared torch is 2.6 or newer, which loads weights only by default.

    *Why it costs you*

    The job holds your access token. Code in a repository or a pickle runs with all its rights, and a branch
    such as `main` may hold other code tomorrow than the code you have read today.

    *Example*

    ```python
    AutoModel.from_pretrained("some-lab/model", trust_remote_code=True)
    torch.load("model.bin")
    ```

    *Use instead*

    ```python
    AutoModel.from_pretrained("some-lab/model", trust_remote_code=True, revision="<commit hash>")
    torch.load("model.bin", weights_only=True)
    ```
    """

    code = "SEC001"
    name = "code-execution-on-load"
    severity = "warn"
    area = "security"

    VALID = (
        Example(
            script="from transformers import AutoModel\n"
            'COMMIT = "3f0c1d6b9a2e4f7788c0d1e2f3a4b5c6d7e8f901"\n'
            'AutoModel.from_pretrained("some-lab/model", revision=COMMIT, trust_remote_code=True)\n',
            why="The commit is pinned.",
        ),
        Example(
            script="from transformers import AutoModel\n"
            'AutoModel.from_pretrained("./my-model", trust_remote_code=True)\n',
            why="A folder beside the script holds the submitter's own code.",
        ),
        Example(
            script="import argparse\nfrom transformers import AutoModel\nparser = argparse.ArgumentParser()\n"
            'parser.add_argument("--trust_remote_code", action="store_true")\nargs = parser.parse_args()\n'
            'AutoModel.from_pretrained("some-lab/model", trust_remote_code=args.trust_remote_code)\n',
            why="Whoever starts the script decides.",
        ),
        Example(
            script='import torch\nstate = torch.load("model.pt", weights_only=True, map_location="cpu")\n',
        ),
        Example(
            script="import os\nimport torch\nCKPT = 'last.pt'\nif os.path.exists(CKPT):\n    state = torch.load(CKPT)\n"
            "torch.save({'step': 1}, CKPT)\n",
            why="The script reads what it wrote itself.",
        ),
        Example(
            script="import pickle\n\n\ndef copy(value):\n    return pickle.loads(pickle.dumps(value))\n\n\ncopy([1])\n",
            why="It unpickles its own bytes.",
        ),
        Example(
            script='import torch\nstate = torch.load("model.pt")\n',
            job={"dependencies": ["torch>=2.6"]},
            why="From torch 2.6 on weights_only=True is the default.",
        ),
    )
    INVALID = (
        Example(
            script="from transformers import AutoModel, AutoTokenizer\n"
            'AutoTokenizer.from_pretrained("some-lab/model", trust_remote_code=True)\n'
            'AutoModel.from_pretrained("some-lab/model", trust_remote_code=True)\n',
            findings=((2, _REMOTE_CODE.format("some-lab/model")),),
            why="One finding for one repository.",
        ),
        Example(
            script="from transformers import pipeline\n"
            'options = dict(trust_remote_code=True, revision="main")\n'
            'pipe = pipeline("text-generation", model="some-lab/model", **options)\n',
            findings=((2, _REMOTE_CODE.format("some-lab/model")),),
            why="A branch is no pin.",
        ),
        Example(
            script='import torch\nstate = torch.load("model.pt", map_location="cpu")\n',
            findings=((2, _TORCH_LOAD),),
        ),
        Example(
            script='import torch\nstate = torch.load("model.pt", weights_only=False)\n',
            job={"dependencies": ["torch>=2.8"]},
            findings=((2, _TORCH_LOAD),),
            why="The safe default of newer versions is switched off.",
        ),
        Example(
            script='from pickle import load as read\nwith open("data.bin", "rb") as stream:\n    rows = read(stream)\n',
            findings=((3, _PICKLE.format("pickle.load")),),
            why="pickle under another name.",
        ),
        Example(
            script='import numpy as np\nrows = np.load("rows.npy", allow_pickle=True)\n',
            findings=((2, _PICKLE.format("numpy.load with allow_pickle=True")),),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or not script.mentions & _WORDS:
            return
        if "trust_remote_code" in script.mentions:
            yield from self._remote_code(script)
        if not {"load", "loads"}.isdisjoint(script.mentions) or "read_pickle" in script.mentions:
            yield from self._pickles(subject, script)

    def _remote_code(self, script: ScriptFacts) -> Iterator[Finding]:
        seen: set[str] = set()
        partials = "partial" in script.mentions
        for call in script.calls:
            if not (call.node.keywords or partials) or not (argument := _trusting_argument(call)) or not call.live:
                continue
            repository = _repository(call)
            if repository is None or repository in seen:
                continue
            seen.add(repository)
            yield self.finding(
                _REMOTE_CODE.format(repository or "the repository"),
                where=call.argument_location(argument),
                fix='trust_remote_code=True, revision="<commit hash>"',
            )

    def _pickles(self, subject: Subject, script: ScriptFacts) -> Iterator[Finding]:
        for call in script.calls_named("load", "loads", "read_pickle", "Unpickler", "load_session"):
            package, _, name = (call.path or "").rpartition(".")
            if package == "torch" and name == "load":
                if not _loads_weights_only(call, subject) and not _written_here(script, call, "torch"):
                    yield self.finding(_TORCH_LOAD, where=call.location, fix="torch.load(…, weights_only=True)")
            elif name in _PICKLES.get(package.partition(".")[0], ()):
                if package == "numpy" and truth(call.argument("allow_pickle", 2)) is not True:
                    continue
                if not _written_here(script, call, package):
                    shown = f"{package}.{name}" + (" with allow_pickle=True" if package == "numpy" else "")
                    yield self.finding(
                        _PICKLE.format(shown), where=call.location, fix="safetensors, JSON, Parquet or .npy"
                    )


# -- remote code -----------------------------------------------------------------


def _trusting_argument(call: Call) -> str | None:
    """The argument of a call that trusts code of a repository which no commit pins, None if none does."""
    written = {keyword.arg for keyword in call.node.keywords}
    if not written & {"trust_remote_code", *_NESTED, None} and not isinstance(call.callee, Partial):
        return None
    if call.written_name in ("dict", "partial", "update"):
        return None
    if any(isinstance(option, Function | Class) for option in options(call.callee)):
        return None  # what it does with the argument is read where it does it
    if constant(call.keywords.get("trust_remote_code", ABSENT)) is True and not call.may_have_more:
        return "trust_remote_code" if _is_unpinned({name: call.argument(name) for name in _REVISIONS}) else None
    for name in _NESTED:
        nested = call.keywords.get(name, ABSENT)
        if isinstance(nested, Table) and constant(nested.entries.get("trust_remote_code", ABSENT)) is True:
            return name if nested.complete and _is_unpinned(nested.entries) else None
    return None


def _is_unpinned(arguments: Mapping[str, Value]) -> bool:
    """Whether it is certain that no commit is named."""
    for name in _REVISIONS:
        value = arguments.get(name, ABSENT)
        if value is ABSENT or is_none(value):
            continue
        known = text(value)
        if known is None or known not in _BRANCHES:
            return False
    return True


def _repository(call: Call) -> str | None:
    """The name of the repository, empty where it is not known; None where it may be a folder of the submitter."""
    value = next((v for name in _REPOSITORY if (v := call.keywords.get(name, ABSENT)) is not ABSENT), ABSENT)
    if value is ABSENT:
        value = call.positional(0)
    known = text(value)
    if known is not None:
        is_path = known.startswith((".", "/", "~")) or known.count("/") > 1 or "\\" in known
        return None if is_path else known
    if value is ABSENT:
        return ""
    return "" if all(option is UNKNOWN or isinstance(option, Constant) for option in options(value)) else None


# -- pickles ---------------------------------------------------------------------


def _loads_weights_only(call: Call, subject: Subject) -> bool:
    given = call.argument("weights_only")
    if given is not ABSENT:
        return truth(given) is not False
    return call.may_have_more or _has_safe_torch(subject)


def _has_safe_torch(subject: Subject) -> bool:
    """Whether the job asks for a torch that loads weights only by default."""
    for requirement in subject.job.dependencies if subject.job is not None else ():
        if requirement.name == "torch":
            for bound in re.findall(r"(?:>=|==|~=|>)(\d+)\.(\d+)", requirement.specifier):
                if (int(bound[0]), int(bound[1])) >= _SAFE_TORCH:
                    return True
    return False


def _written_here(script: ScriptFacts, load: Call, package: str) -> bool:
    """Whether the script writes what it loads, or may do so."""
    if load.written_name == "loads":
        return any(c.written_name == "dumps" for c in _writes(script, package))
    read = _path(load)
    writes = [_path(write) for write in _writes(script, package)]
    if not writes:
        return False
    known = _certain(read)
    return known is None or any(_certain(path) in (None, known) for path in writes)


def _writes(script: ScriptFacts, package: str) -> list[Call]:
    top = package.partition(".")[0]
    return [
        call
        for name in _WRITERS
        for call in script.resolver.calls_by_written_name.get(name, ())
        if call.live and (call.package == top or name in ("to_pickle", "save"))
    ]


def _path(call: Call) -> Value:
    """What a call reads or writes: a path, or the path of the stream that it is given."""
    reads = call.written_name.startswith(("load", "read")) or call.name.startswith(("load", "read"))
    on_object = call.package is None or call.written_name == "to_pickle"
    position = 0 if reads or on_object or call.package == "numpy" else 1
    for name in ("f", "file", "path", "filename", "filepath_or_buffer"):
        if name in call.keywords:
            return call.keywords[name]
    value = call.positional(position)
    for option in options(value):
        if isinstance(option, Instance) and option.call.written_name == "open":
            opened = option.call
            return opened.receiver if _is_method(opened) else opened.argument("file", 0)
    return value


def _is_method(call: Call) -> bool:
    return isinstance(call.node.func, ast.Attribute) and call.path is None


def _certain(path: Value) -> str | None:
    known = text(path)
    if known is None and isinstance(path, Text):
        return "\0".join(part or "" for part in path.parts)
    return known
