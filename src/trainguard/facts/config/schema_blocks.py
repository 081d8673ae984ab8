"""The blocks of the schema: adapter, evaluation, checkpoints, guard, alerts, queue."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from trainguard.facts.config.schema_notes import Text, about

Action: TypeAlias = Literal["log", "alert", "checkpoint_and_stop", "stop", "rollback"]
_SHARE = "steps, or a share of all steps where it is below 1"


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The adapter that peft adds."""

    r: Annotated[
        Annotated[int, Meta(ge=1)],
        about(
            "The rank of the adapter.",
            default="trl 1.16 ModelConfig.lora_r (peft's LoraConfig has 8).",
            because="peft refuses a rank below 1",
            example=16,
        ),
    ] = 16
    alpha: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "The adapter's weight: it is scaled by alpha / r.",
            default="trl 1.16 ModelConfig.lora_alpha (peft's LoraConfig has 8).",
            because="at 0 the adapter says nothing",
            example=32,
        ),
    ] = 32
    dropout: Annotated[
        Annotated[float, Meta(ge=0, lt=1)],
        about(
            "The share of the adapter's inputs that is dropped.",
            unit="share",
            default="trl 1.16 ModelConfig.lora_dropout (peft's LoraConfig has 0).",
            because="at 1 all that the adapter sees is dropped",
            example=0.05,
        ),
    ] = 0.05
    target_modules: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)],
        about(
            "The layers that get an adapter: names, a regular expression, or all-linear.",
            default="All linear layers, which the QLoRA paper found to matter most; peft chooses by the kind of model.",
            because="an adapter on no layer trains nothing",
            example=["q_proj", "v_proj"],
        ),
    ] = "all-linear"
    modules_to_save: Annotated[
        list[Text], about("Layers that are trained whole and saved beside the adapter.", default="None, as peft.")
    ] = field(default_factory=list)
    bias: Annotated[Literal["none", "all", "lora_only"], about("Which biases are trained.", default="peft 0.21.")] = (
        "none"
    )
    use_rslora: Annotated[bool, about("Scale by alpha / sqrt(r) instead.", default="peft 0.21.")] = False
    use_dora: Annotated[bool, about("Decompose weights into length and direction.", default="peft 0.21.")] = False


class Evaluation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and on what the model is evaluated."""

    data: Annotated[
        Text | None,
        about("The evaluation data: a file, a folder or an id of the hub.", default="None: no evaluation."),
    ] = None
    strategy: Annotated[
        Literal["no", "steps", "epoch"],
        about(
            "When to evaluate.",
            default="transformers 5.23; steps where `steps` is given, epoch where only `data` is.",
        ),
    ] = "no"
    steps: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about(
            "Evaluate every so many steps.",
            unit=_SHARE,
            default="logging_steps, as transformers 5.23.",
            because="the Trainer divides by it",
            example=500,
            steps=True,
            nulls=True,
        ),
    ] = None
    batch_size: Annotated[
        Annotated[int, Meta(ge=1)],
        about(
            "Examples in one forward pass of one GPU.",
            unit="examples",
            default="transformers 5.23 per_device_eval_batch_size.",
            because="a batch has at least one example",
        ),
    ] = 8
    samples: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about(
            "Evaluate on so many examples only.",
            unit="examples",
            default="All.",
            because="a count is not negative",
            nulls=True,
        ),
    ] = None
    prompts: Annotated[
        Text | None,
        about("A text file of prompts, one a line, that are answered at each evaluation.", default="None."),
    ] = None


class Saving(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a checkpoint is saved, and which are kept."""

    strategy: Annotated[
        Literal["steps", "epoch", "no"], about("When to save a checkpoint.", default="transformers 5.23.")
    ] = "steps"
    steps: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "Save every so many steps: what a crash costs at most.",
            unit=_SHARE,
            default="transformers 5.23 save_steps.",
            because="the Trainer divides by it",
            example=500,
            steps=True,
        ),
    ] = 500
    keep: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about(
            "Keep so many checkpoints; the last two that verify and the best are never removed. null keeps all.",
            unit="checkpoints",
            default="3, so that a long run does not fill the disk; the Trainer's save_total_limit keeps all.",
            because="a run that keeps no checkpoint cannot be resumed",
            nulls=True,
        ),
    ] = 3
    resume: Annotated[
        Literal["auto", "never"],
        about("Go on from the newest checkpoint that verifies.", default="auto: nothing trained is lost."),
    ] = "auto"


class Guard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What watches the run, and what it may do."""

    actions: Annotated[
        dict[str, Action],
        about(
            'What to do when a code fires, such as RUN003 = "rollback".',
            default="By the severity of the code; a warning never stops a run.",
            example={"RUN003": "rollback"},
            codes=True,
        ),
    ] = field(default_factory=dict)
    thresholds: Annotated[
        dict[str, dict[str, float]],
        about(
            "Thresholds by code, such as RUN003 = { factor = 3.0 }.",
            default="Those of each detector.",
            example={"RUN003": {"factor": 3.0}},
            codes=True,
        ),
    ] = field(default_factory=dict)
    retries: Annotated[
        Annotated[int, Meta(ge=0)],
        about(
            "Attempts after the first that may fail without a new verified checkpoint; 0 gives up at once.",
            unit="attempts",
            default="3: a fault that comes back three times at the same place is not transient.",
            because="a count is not negative",
        ),
    ] = 3
    retry_delay_seconds: Annotated[
        Annotated[float, Meta(ge=0)],
        about(
            "The pause before the first new attempt; it doubles with each.",
            unit="seconds",
            default="10: longer than a driver takes to free a GPU's memory.",
            because="a pause is not negative",
        ),
    ] = 10
    stop_deadline_seconds: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "How long a run that is asked to stop may take to save.",
            unit="seconds",
            default="25: Kubernetes and Slurm kill 30 s after SIGTERM (terminationGracePeriodSeconds, KillWait).",
            because="a save takes time",
        ),
    ] = 25
    hang_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about(
            "A step without a sign of life for so long is a hang.",
            unit="seconds",
            default="None: told from the run's own slowest steps.",
            because="every step takes time",
            nulls=True,
        ),
    ] = None


class Alerts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where alerts go. Addresses hold tokens, so they are never printed."""

    urls: Annotated[
        list[Text],
        about("Addresses in Apprise's form, such as mailto://user:password@example.org.", default="None.", secret=True),
    ] = field(default_factory=list)
    webhook: Annotated[
        Text | None,
        about("An address that gets each alert as JSON by POST.", default="None.", secret=True),
    ] = None
    trackio: Annotated[
        bool | None, about("Use trackio.alert.", default="Yes where the run logs to Trackio.", nulls=True)
    ] = None
    min_severity: Annotated[
        Literal["error", "warn", "info"], about("Tell only this and worse.", default="warn: info is for the log.")
    ] = "warn"
    window_seconds: Annotated[
        Annotated[float, Meta(ge=0)],
        about(
            "At most one alert of a code in this time.",
            unit="seconds",
            default="600: a fault that repeats every step is one fault.",
            because="a time is not negative",
        ),
    ] = 600


class Queue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daemon's files."""

    inbox: Annotated[
        Text, about("The folder that is watched for training files.", default="Beside the configuration.")
    ] = "inbox"
    database_url: Annotated[
        Text | None,
        about(
            "A PostgreSQL server for several machines that share a queue.",
            default="None: SQLite in output_dir.",
            secret=True,
        ),
    ] = None
    settle_seconds: Annotated[
        Annotated[float, Meta(ge=0)],
        about(
            "A file is accepted once it has not changed for so long.",
            unit="seconds",
            default="5: longer than writers pause between two blocks.",
            because="a time is not negative",
        ),
    ] = 5
    poll_seconds: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "How often a folder on a network mount is looked at, which sends no events.",
            unit="seconds",
            default="30.",
            because="looking without a pause keeps a core busy",
        ),
    ] = 30
    max_wait_hours: Annotated[
        Annotated[float, Meta(gt=0)],
        about(
            "A file of low priority goes first once it has waited so long.",
            unit="hours",
            default="24: a stream of urgent files starves nobody for longer than a day.",
            because="at 0 there are no priorities",
        ),
    ] = 24
    schedule: Annotated[
        Literal["restart", "global"],
        about(
            "The learning rate of the next file: from its start with warm-up, or one schedule over all files.",
            default="restart: how many files will come is not known.",
        ),
    ] = "restart"
    metrics_port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        about(
            "A port of this machine (127.0.0.1) at which Prometheus reads the daemon's figures; metrics.prom is "
            "written in any case.",
            default="None: no port is opened unasked.",
            because="a port is between 1 and 65535",
            example=9464,
            nulls=True,
        ),
    ] = None
    summary_hour: Annotated[
        Annotated[int, Meta(ge=0, le=23)] | None,
        about(
            "The hour of the local day from which on the summary of the last 24 hours is told, once a day; null tells "
            "none. It is told to whom `alerts` names, whatever alerts.min_severity is.",
            unit="hours",
            default="8: read with the first coffee.",
            because="a day has the hours 0 to 23",
            nulls=True,
        ),
    ] = 8
    keep_done: Annotated[
        Annotated[int, Meta(ge=0)],
        about(
            "Trained files that are kept in any case, the newest ones.",
            unit="files",
            default="20.",
            because="a count is not negative",
        ),
    ] = 20
    keep_done_days: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        about(
            "Trained files are kept so long; null keeps them for ever.",
            unit="days",
            default="null: nothing is deleted unasked.",
            because="a time is not negative",
            nulls=True,
        ),
    ] = None
    keep_done_gb: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        about(
            "Trained files together may take so much; null is no limit.",
            unit="GB (10^9 bytes)",
            default="null: nothing is deleted unasked.",
            because="a size is not negative",
            nulls=True,
        ),
    ] = None
