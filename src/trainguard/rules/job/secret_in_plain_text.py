"""JOB012: an access token stands where everybody who sees the job can read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.facts.secrets import HUGGING_FACE, WANDB, Secret, find_secrets, is_wandb_key
from trainguard.facts.values import certain_texts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

# Made up for the examples, and put together so that no scanner takes this file for a leak.
_HF = "hf_" + "QmRtVzKpLsWnXcYbJdGhFaEuTiOoPqNwRk"
_SK = "sk-" + "proj-" + "9fK2mQ7xZ1vB4nT8cR5wL3jH6gD0pY_sAeUiOoWq"
_HEX = "7c1e94b0a2d35f" + "8860e1f4ab93c27d5510fe86ab"
_AKIA = "AKIA" + "Q7RZT2WMLX5PD4VK"

_VARIABLES: Mapping[str, str] = {HUGGING_FACE: "HF_TOKEN", WANDB: "WANDB_API_KEY"}


def _says(what: str, place: str, variable: str | None) -> str:
    return (
        f"{what} stands in plain text in {place}: everyone who sees the job can use it; revoke it, and pass a new one "
        f"in `secrets`{f' as {variable}' if variable else ''}"
    )


class SecretInPlainText(Rule):
    """An access token written out in the script, the command or `env`.

    *What it does*

    Looks for access tokens written out in the script, the command, its arguments or `env`: of Hugging Face,
    OpenAI and Anthropic (`sk-…`), Weights & Biases, AWS and GitHub, and private keys. Comments count too.
    The finding says where the token stands, and never prints it. Placeholders and `$HF_TOKEN` are no tokens.

    *Why it costs you*

    Script, command and `env` of a job are stored and shown in plain text to everyone who may see the job, and
    often end up in logs and repositories. A token that has been there must be revoked.

    *Example*

    ```python
    login(token="hf_…the token itself…")
    ```

    *Use instead*

    ```python
    login(token=os.environ["HF_TOKEN"])  # with secrets={"HF_TOKEN": "$HF_TOKEN"} in the job
    ```
    """

    code = "JOB012"
    name = "secret-in-plain-text"
    severity = "error"
    area = "job"
    needs = frozenset()

    VALID = (
        Example(
            script='from huggingface_hub import login\nlogin(token="hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")\n',
            why="A placeholder.",
        ),
        Example(
            script='import os\nos.environ["HF_TOKEN"] = "hf_YOUR_TOKEN_GOES_HERE_REPLACE_THIS_ONE"\n',
            why="A placeholder in words.",
        ),
        Example(
            script=f'model = load("org/name", revision="{_HEX}")\n',
            why="Forty hexadecimal digits are a commit here.",
        ),
        Example(
            script="import wandb\nwandb.login()\n",
            job={"env": {"HF_TOKEN": "$HF_TOKEN"}, "secrets": {"HF_TOKEN": _HF, "WANDB_API_KEY": _HEX}},
            why="Secrets are the place for tokens.",
        ),
        Example(
            script='KEY_HEADER = "-----BEGIN PRIVATE KEY-----"\nassert KEY_HEADER not in open("train.log").read()\n',
            why="The first line of a key is no key.",
        ),
        Example(
            job={"command": ["bash", "-c", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE python train.py"]},
            why="The example key of the documentation.",
        ),
    )
    INVALID = (
        Example(
            script=f'from huggingface_hub import login\nlogin(token="{_HF}")\n',
            findings=((2, _says("a Hugging Face access token", "the script", "HF_TOKEN")),),
        ),
        Example(
            script=f"import torch\n\n# old key, do not use: {_SK}\nprint(torch.__version__)\n",
            findings=((3, _says("an API key (sk-…)", "the script", None)),),
            why="A comment is stored with the job like all the rest.",
        ),
        Example(
            script=f'import wandb\n\nSETTINGS = {{"tracking": {{"id": "{_HEX}"}}}}\n'
            'wandb.login(key=SETTINGS["tracking"]["id"])\n',
            findings=((3, _says("a Weights & Biases API key", "the script", "WANDB_API_KEY")),),
            why="Nothing near the digits says that they are a key; the call that takes them does.",
        ),
        Example(
            script="print('hello')\n",
            job={"env": {"HF_TOKEN": _HF, "WANDB_API_KEY": _HEX}, "script_args": ["--aws-id", _AKIA]},
            findings=(
                (None, _says("an AWS access key", "`script_args`", None)),
                (None, _says("a Hugging Face access token", "`env` (HF_TOKEN)", "HF_TOKEN")),
                (None, _says("a Weights & Biases API key", "`env` (WANDB_API_KEY)", "WANDB_API_KEY")),
            ),
            why="`env` is shown in plain text, `secrets` is not.",
        ),
        Example(
            job={"image": "python:3.12", "command": ["bash", "-c", f"hf auth login --token {_HF} && python train.py"]},
            findings=((None, _says("a Hugging Face access token", "`command`", "HF_TOKEN")),),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        seen: set[str] = set()
        if subject.script is not None:
            yield from self._in_script(subject.script, seen)
        if subject.job is not None:
            for place, text in _places(subject.job):
                yield from self._in_job(place, text, seen)

    def _in_script(self, script: ScriptFacts, seen: set[str]) -> Iterator[Finding]:
        text = script.text
        commands = "\n".join(command for _, command in script.source.shell_lines)
        for secret in [*find_secrets(text), *_login_keys(script)]:
            if _is_new(text, secret, seen):
                line = text.count("\n", 0, secret.start) + 1
                column = secret.start - (text.rfind("\n", 0, secret.start) + 1) + 1
                end = text.find("\n", secret.start, secret.end)
                length = (end if end >= 0 else secret.end) - secret.start
                where = script.location(line, column, line, column + length)
                yield self.finding(_message(secret, "the script"), where=where, fix=_fix(secret))
        for secret in find_secrets(commands):  # a notebook's shell lines, where the text does not hold them as such
            if _is_new(commands, secret, seen):
                yield self.finding(_message(secret, "the script"), fix=_fix(secret))

    def _in_job(self, place: str, text: str, seen: set[str]) -> Iterator[Finding]:
        for secret in find_secrets(text):
            if _is_new(text, secret, seen):
                yield self.finding(_message(secret, place), fix=_fix(secret))


def _is_new(text: str, secret: Secret, seen: set[str]) -> bool:
    token = text[secret.start : secret.end]
    if token in seen:
        return False
    seen.add(token)
    return True


def _login_keys(script: ScriptFacts) -> Iterator[Secret]:
    """Keys that only their use shows to be keys: what `wandb.login` takes."""
    if "wandb" not in script.mentions:
        return
    for call in script.resolver.calls_by_written_name.get("login", ()):
        if call.path != "wandb.login":
            continue
        for value in certain_texts(call.argument("key", 1)):
            start = script.text.find(value) if is_wandb_key(value) else -1
            if start >= 0:
                yield Secret(kind=WANDB, start=start, end=start + len(value))


def _places(job: JobFacts) -> Iterator[tuple[str, str]]:
    """Everything of a job that is stored in plain text, by the name that the submitter knows it by."""
    command = job.command_raw
    if command is not None:
        yield "`command`", command if isinstance(command, str) else " ".join(command)
        if job.command is not None:
            for text in (*job.command.files.values(), *job.command.inline_sources):
                yield "`command`", text
    if job.script is not None:
        yield "`script`", job.script
    if job.script_args:
        yield "`script_args`", " ".join(job.script_args)
    for requirement in job.dependencies:
        yield "`dependencies`", requirement.raw
    for name, value in job.env.items():
        # Behind its name, as a shell would have it: forty hexadecimal digits are a key only there.
        yield f"`env` ({name})", f"{name}={value}"


def _message(secret: Secret, place: str) -> str:
    article = "an" if secret.kind[0] in "AEIOU" else "a"
    return _says(f"{article} {secret.kind}", place, _VARIABLES.get(secret.kind))


def _fix(secret: Secret) -> str:
    variable = _VARIABLES.get(secret.kind, "NAME")
    return f'os.environ["{variable}"], with secrets={{"{variable}": "${variable}"}} in the job'
