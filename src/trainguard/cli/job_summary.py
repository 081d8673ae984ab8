"""What an approval prompt says about a job: what runs, where, for how long, at what price."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainguard.report.visible import masked, visible

if TYPE_CHECKING:
    from trainguard.facts.job import JobFacts
    from trainguard.libraries.flavors import Flavor

_LONGEST = 200  # characters of a command shown; the whole of it is in the job file


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """A job in the words of a prompt. Secrets appear by name only, and tokens in a command are starred out.

    `worst_cost_usd` is the price of running until the timeout, None where price or timeout is unknown.
    """

    operation: str
    starts_job: bool
    program: str
    python: str
    image: str | None
    packages: tuple[str, ...]
    flavor: str | None
    hardware: str
    price_per_hour_usd: float | None
    timeout_seconds: float | None
    timeout: str
    worst_cost_usd: float | None
    worst_cost: str
    schedule: str | None
    env: tuple[str, ...]
    secrets: tuple[str, ...]
    volumes: tuple[str, ...]


def summarize(job: JobFacts) -> JobSummary:
    """The summary of what `read_job` read."""
    price = job.flavor.price_per_hour if job.flavor is not None else None
    cost = worst_cost_usd(price, job.timeout_seconds)
    return JobSummary(
        operation=job.operation,
        starts_job=job.checked,
        program=_program(job),
        python=job.python_version,
        image=job.image if job.image_given else None,
        packages=tuple(requirement.raw for requirement in job.dependencies),
        flavor=job.flavor_name,
        hardware=_hardware(job),
        price_per_hour_usd=price,
        timeout_seconds=job.timeout_seconds,
        timeout=_timeout(job),
        worst_cost_usd=cost,
        worst_cost=_cost(job, price, cost),
        schedule=job.schedule,
        env=tuple(sorted(job.env)),
        secrets=tuple(sorted(job.secrets)),
        volumes=tuple(volume.mount_path or "?" for volume in job.volumes),
    )


def worst_cost_usd(price_per_hour: float | None, timeout_seconds: float | None) -> float | None:
    """US dollars for running until the timeout, every begun minute billed and rounded up to cents.

    None where the price or the time is unknown.
    """
    # docs/hub/jobs-pricing.md, 2026-08-22: billed per minute while starting or running.
    if price_per_hour is None or timeout_seconds is None or timeout_seconds <= 0:
        return None
    cents = math.ceil(timeout_seconds / 60) * price_per_hour / 60 * 100
    return math.ceil(round(cents, 6)) / 100  # rounded up: it is the worst that is asked for


def render_summary(summary: JobSummary, title: str) -> str:
    """The summary as aligned lines; what is empty is left out."""
    rows: Mapping[str, Any] = {
        "operation": summary.operation
        if summary.starts_job
        else f"{summary.operation} (starts no job: nothing to check)",
        "runs": summary.program,
        "image": summary.image,
        "python": summary.python,
        "packages": ", ".join(summary.packages) or "none declared",
        "hardware": summary.hardware,
        "timeout": summary.timeout,
        "worst cost": summary.worst_cost,
        "schedule": summary.schedule,
        "env": ", ".join(summary.env),
        "secrets": ", ".join(summary.secrets),
        "volumes": ", ".join(summary.volumes),
    }
    shown = rows if summary.starts_job else {"operation": rows["operation"]}
    lines = [f"  {label:<11} {masked(visible(str(value)))}" for label, value in shown.items() if value]
    return "\n".join([visible(title), *lines]) + "\n"


def duration_text(seconds: float) -> str:
    """`4 h`, `1 h 30 min`, `45 s`: whole units, the largest two."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts, rest = [], round(seconds)
    for unit, size in units:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _program(job: JobFacts) -> str:
    if job.command_raw is not None:
        command = job.command_raw if isinstance(job.command_raw, str) else shlex.join(job.command_raw)
        return _cropped(masked(" ".join(command.split())))
    if job.script is None:
        return "nothing: neither script nor command is given"
    args = f" {shlex.join(job.script_args)}" if job.script_args else ""
    if job.script_kind == "inline":
        return _cropped(f"an inline script of {len(job.script.splitlines())} lines{masked(args)}")
    return _cropped(masked(job.script + args))


def _cropped(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _hardware(job: JobFacts) -> str:
    if not job.remote:
        return "this machine"
    if job.flavor_name is None:
        return "unknown: the flavor is not a text"
    default = "" if job.flavor_given else ", the default"
    if job.flavor is None:
        return f"{job.flavor_name}{default} (not a flavor that trainguard knows)"
    return f"{job.flavor_name}{default} ({_machine(job.flavor)})"


def _machine(flavor: Flavor) -> str:
    gpus = f"{flavor.gpu_count} x {flavor.gpu} {flavor.gpu_memory_gb} GB" if flavor.has_gpu else "no GPU"
    ram = f", {flavor.ram_gb} GB RAM" if flavor.ram_gb is not None else ""
    price = f", ${flavor.price_per_hour:.2f}/h" if flavor.price_per_hour is not None else ", price unknown"
    return f"{gpus}{ram}{price}"


def _timeout(job: JobFacts) -> str:
    if job.timeout_seconds is None:
        return f"cannot be read: {job.timeout_error}"
    return duration_text(job.timeout_seconds) + ("" if job.timeout_given else ", the default")


def _cost(job: JobFacts, price: float | None, cost: float | None) -> str:
    if not job.remote:
        return "nothing is rented"
    if price is None:
        return "unknown: the flavor's price is not known"
    if cost is None or job.timeout_seconds is None:
        return "unknown: the timeout gives no time"
    per_run = " per run" if job.scheduled else ""
    return f"${cost:.2f}{per_run} ({duration_text(job.timeout_seconds)} at ${price:.2f}/h, billed by the minute)"
