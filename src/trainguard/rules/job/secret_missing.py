"""JOB011: the script needs a token that the job does not have."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainguard.facts.calls import Call
from trainguard.facts.certainty import certainly_runs
from trainguard.facts.environment import job_variables, script_variables, variables_read
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import ABSENT, Constant, Value, options, text, texts, truth
from trainguard.findings import Finding, Location
from trainguard.libraries.gated_models import is_gated
from trainguard.rules.base import Example, Rule, Subject

# huggingface_hub 2.4, utils/_auth.py (the first two); the third is of its older releases.
_HF_VARIABLES = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"})
_TOKEN_ARGUMENTS = ("token", "hub_token", "use_auth_token", "access_token")
_PUSHES = {"push_to_hub", "push_to_hub_merged", "push_to_hub_gguf", "upload_folder", "upload_large_folder"}
_API_PUSHES = {"upload_file", "create_commit", "create_repo"}
_MODEL_ARGUMENTS = (("pretrained_model_name_or_path", 0), ("model_name", None), ("model", 0))
# wandb's docs, "Environment variables": modes in which nothing is sent and no key is asked for.
_SILENT_MODES = {"offline", "disabled", "dryrun", "dry_run"}

_HF_FIX = 'secrets={"HF_TOKEN": "$HF_TOKEN"}'
_WANDB_FIX = 'secrets={"WANDB_API_KEY": "$WANDB_API_KEY"}'
_PUSH = (
    "{} needs a token, and HF_TOKEN is neither in secrets nor in env, so the push fails with 401 and its result is "
    'lost; add secrets={{"HF_TOKEN": "$HF_TOKEN"}}'
)
_GATED = (
    "{} is gated, and HF_TOKEN is neither in secrets nor in env, so downloading it fails with 401; "
    'add secrets={{"HF_TOKEN": "$HF_TOKEN"}} of an account that has access'
)
_WANDB = (
    'report_to="wandb" needs WANDB_API_KEY, which is neither in secrets nor in env, so wandb asks for a key that '
    f"nobody can type and the run fails; add {_WANDB_FIX}"
)


class SecretMissing(Rule):
    """A push, a gated model or Weights & Biases without its token.

    *What it does*

    Fires when the script pushes to the hub or loads a model that is known to be gated, and the job has no
    `HF_TOKEN`; and when `report_to` names wandb and the job has no `WANDB_API_KEY`. Silent where the script
    is given a token another way, and where the submitter says `token_injected=true`.

    *Why it costs you*

    The push is the last thing that a training does. Without a token it fails with 401 after all the hours were
    paid, and the machine with the model on it is deleted.

    *Example*

    ```python
    {"script": "…push_to_hub=True…", "hardware_flavor": "a10g-large"}
    ```

    *Use instead*

    ```python
    {"script": "…push_to_hub=True…", "hardware_flavor": "a10g-large", "secrets": {"HF_TOKEN": "$HF_TOKEN"}}
    ```
    """

    code = "JOB011"
    name = "secret-missing"
    severity = "warn"
    area = "job"
    needs = frozenset({"job"})

    VALID = (
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", push_to_hub=True, hub_model_id="ann/model")\n',
            job={"secrets": ["HF_TOKEN"]},
        ),
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", push_to_hub=True, hub_model_id="ann/model")\n',
            job={"token_injected": True},
            why="The submitter injects the token.",
        ),
        Example(
            script="import os\nfrom huggingface_hub import login\nfrom transformers import AutoModel\n"
            'login(token=os.environ["TEAM_TOKEN"])\n'
            'AutoModel.from_pretrained("meta-llama/Llama-3.2-1B").push_to_hub("ann/model")\n',
            job={"secrets": {"TEAM_TOKEN": "$TEAM_TOKEN"}},
            why="The token has another name.",
        ),
        Example(
            script="import os\nfrom transformers import AutoModel\nmodel = AutoModel.from_pretrained('gpt2')\n"
            'if os.environ.get("HF_TOKEN"):\n    model.push_to_hub("ann/model")\n',
            job={"flavor": "l4x1"},
            why="It pushes only where there is a token.",
        ),
        Example(
            script='import os\nfrom trl import SFTConfig\nos.environ["WANDB_MODE"] = "offline"\n'
            'SFTConfig("out", report_to="wandb")\n',
            job={"flavor": "l4x1"},
            why="Offline, wandb asks for no key.",
        ),
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", push_to_hub=True)\n',
            job={"flavor": "l4x1", "local": True},
            why="On one's own machine one is logged in.",
        ),
    )
    INVALID = (
        Example(
            script='from trl import SFTConfig\nSFTConfig("out", push_to_hub=True, hub_model_id="ann/model")\n',
            job={"flavor": "l4x1"},
            findings=((2, _PUSH.format("push_to_hub=True")),),
        ),
        Example(
            script="import os\nfrom huggingface_hub import login\nfrom transformers import AutoModel\n"
            'TOKEN = os.environ.get("HF_TOKEN")\nlogin(token=TOKEN)\n'
            'AutoModel.from_pretrained("gpt2").push_to_hub("ann/model", token=TOKEN)\n',
            job={"flavor": "l4x1", "env": {"HF_HUB_ENABLE_HF_TRANSFER": "1"}},
            findings=((6, _PUSH.format("push_to_hub()")),),
            why="The script passes a token on that the job does not have.",
        ),
        Example(
            script="from transformers import AutoModelForCausalLM as Model\n"
            'NAME = "meta-llama/Llama-3.1-8B"\nmodel = Model.from_pretrained(NAME)\n',
            job={"flavor": "l4x1"},
            findings=((3, _GATED.format("meta-llama/Llama-3.1-8B")),),
        ),
        Example(
            script='from trl import SFTConfig\nconfig = SFTConfig("out", report_to=["trackio", "wandb"])\n',
            job={"flavor": "l4x1", "secrets": {"HF_TOKEN": "$HF_TOKEN"}},
            findings=((2, _WANDB),),
            why="wandb is one of several.",
        ),
        Example(
            job={"image": "ann/train", "command": "trl sft --model_name_or_path gpt2 --push_to_hub"},
            findings=((None, _PUSH.format("--push_to_hub")),),
            why="The option stands in the command.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        job, script = subject.job, subject.script
        if job is None or not job.remote:
            return
        if not job.has_token and not _finds_token(script, job):
            yield from self._hub(script, job)
        if script is not None and "wandb" in script.mentions | {
            w for a in script.arguments or () for w in a.split("=")
        }:
            yield from self._wandb(script, job)

    def _hub(self, script: ScriptFacts | None, job: JobFacts) -> Iterator[Finding]:
        needs = sorted(_pushes(script), key=_place) if script is not None else _command_pushes(job)
        if push := next(iter(needs), None):
            yield self.finding(_PUSH.format(push.what), where=push.where, fix=_HF_FIX)
        elif script is not None and (gated := next(iter(_gated_loads(script)), None)):
            yield self.finding(_GATED.format(gated.what), where=gated.where, fix=_HF_FIX)

    def _wandb(self, script: ScriptFacts, job: JobFacts) -> Iterator[Finding]:
        if _has_wandb_key(script, job):
            return
        for config in script.training.configs:
            option = config.option("report_to")
            if _includes(option.value, "wandb") and certainly_runs(config.call.block, script.resolver):
                yield self.finding(_WANDB, where=option.where, fix=_WANDB_FIX)
                return


@dataclass(frozen=True, slots=True)
class _NeedOfToken:
    what: str
    where: Location | None


def _place(need: _NeedOfToken) -> tuple[int, int]:
    return (need.where.line or 0, need.where.column or 0) if need.where is not None else (0, 0)


# -- pushes and gated models ---------------------------------------------------------


def _pushes(script: ScriptFacts) -> Iterator[_NeedOfToken]:
    asked = script.mentions & (_PUSHES | _API_PUSHES) or any("push_to_hub" in word for word in script.arguments or ())
    if not asked:
        return
    for config in script.training.configs:
        option = config.option("push_to_hub")
        if truth(option.value) is True and certainly_runs(config.call.block, script.resolver):
            yield _NeedOfToken("push_to_hub=True", option.where)
    for name in _PUSHES | _API_PUSHES:
        for call in script.resolver.calls_by_written_name.get(name, ()):
            if (name in _PUSHES or _is_hub_api(call)) and certainly_runs(call.block, script.resolver):
                yield _NeedOfToken(f"{name}()", call.location)


def _is_hub_api(call: Call) -> bool:
    return call.package == "huggingface_hub" or any("HfApi" in maker.names for maker in call.receiver_calls)


def _command_pushes(job: JobFacts) -> Iterator[_NeedOfToken]:
    for launch in job.command.launches if job.command is not None else ():
        for word, following in zip(launch.argv, [*launch.argv[1:], ""], strict=True):
            if (
                word.lower() in ("--push_to_hub", "--push-to-hub", "--push_to_hub=true")
                and following.lower() != "false"
            ):
                yield _NeedOfToken("--push_to_hub", None)


def _gated_loads(script: ScriptFacts) -> Iterator[_NeedOfToken]:
    if not any(owner in script.text for owner in ("meta-llama", "google/", "stabilityai/", "black-forest-labs/")):
        return
    for call in script.calls:
        name = call.written_name
        if name not in ("from_pretrained", "LLM", "pipeline", "snapshot_download") and not name.endswith("Trainer"):
            continue
        for argument, position in (*_MODEL_ARGUMENTS, ("repo_id", 0)):
            known = texts(call.argument(argument, position))
            if known and all(is_gated(each) for each in known) and certainly_runs(call.block, script.resolver):
                yield _NeedOfToken(min(known), call.argument_location(argument, position))


# -- tokens --------------------------------------------------------------------------


def _finds_token(script: ScriptFacts | None, job: JobFacts) -> bool:
    """Whether the script or command may get a token in another way than by the job's own variables."""
    if job.command is not None and (job.command.logs_in or _HF_VARIABLES & set(job.command.env)):
        return True
    if script is None:
        return False
    own = script_variables(script)
    if own is None or own & _HF_VARIABLES or script.may_contain("login", "token", "TOKEN"):
        return True
    present = job_variables(job) | own
    return any(command.logs_in for command in script.commands) or any(
        _gives_token(call, present) for call in script.calls if call.node.keywords or call.written_name == "login"
    )


def _gives_token(call: Call, present: frozenset[str]) -> bool:
    if call.written_name == "save_token":
        return True
    names = [keyword.arg for keyword in call.node.keywords if keyword.arg in _TOKEN_ARGUMENTS]
    if not call.live:
        return False
    if any(_is_token(call, call.argument(name), _node(call, name), present) for name in names):
        return True
    if call.written_name == "login" and (call.package == "huggingface_hub" or call.path == "login"):
        return bool(call.node.args) and _is_token(call, call.positional(0), call.node.args[0], present)
    return False


def _node(call: Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.node.keywords if keyword.arg == name), None)


def _is_token(call: Call, value: Value, node: ast.expr | None, present: frozenset[str]) -> bool:
    """Whether an argument may hold a token: it is neither a flag nor read from variables that are not there."""
    if all(option is ABSENT or (isinstance(option, Constant) and not text(option)) for option in options(value)):
        return False
    read = variables_read(node, call.block, call.resolver) if node is not None else None
    return read is None or bool(read & present)


# -- Weights & Biases ------------------------------------------------------------------


def _includes(value: Value, name: str) -> bool:
    return all((known := texts(option)) is not None and name in known for option in options(value))


def _has_wandb_key(script: ScriptFacts, job: JobFacts) -> bool:
    """Whether wandb has a key, or needs none, or that cannot be told."""
    own = script_variables(script)
    variables = {"WANDB_API_KEY", "WANDB_MODE", "WANDB_DISABLED", "WANDB_ANONYMOUS"}
    present = job_variables(job)
    if own is None or own & variables or "WANDB_API_KEY" in present or script.may_contain("wandb", "WANDB"):
        return True
    command = job.command.env if job.command is not None else {}
    mode = job.env.get("WANDB_MODE", command.get("WANDB_MODE", "online"))
    if mode.lower() in _SILENT_MODES or present & {"WANDB_DISABLED", "WANDB_ANONYMOUS"}:
        return True
    commands = [*script.commands, *([job.command] if job.command is not None else [])]
    if any(launch.program == "wandb" for each in commands for launch in each.launches):
        return True
    return any(_logs_in_to_wandb(call, present) for call in script.calls_named("login", "init", "setup", "Settings"))


def _logs_in_to_wandb(call: Call, present: frozenset[str]) -> bool:
    if call.package != "wandb":
        return False
    mode = call.argument("mode")
    if mode is not ABSENT and (text(mode) is None or text(mode) in _SILENT_MODES):
        return True
    if call.argument("anonymous") is not ABSENT or call.may_have_more:
        return True
    if call.name != "login":
        return False
    node = _node(call, "key")
    return node is not None and _is_token(call, call.argument("key"), node, present)
