"""Requirements as people write them: `trl[peft]>=0.12`, a git URL, a wheel, or a string full of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_TEXT = 20_000  # characters of dependencies that are looked at; nobody declares more by hand

# PEP 508: a name, optional extras, an optional version specifier (also in brackets, as old metadata has it).
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_CLAUSE = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[^\s,;()\[\]]+"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\[(?P<extras>[^\]]*)\])?\s*\(?\s*(?P<specifier>{_CLAUSE}(?:\s*,\s*{_CLAUSE})*)?\s*\)?"
)
_DIRECT_REFERENCE = re.compile(rf"(?P<name>{_NAME})\s*(?:\[(?P<extras>[^\]]*)\])?\s*@\s*(?P<url>\S+)")
_EGG = re.compile(rf"[#&]egg=(?P<name>{_NAME})")
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9._]+)-[^-/\\]+(?:-[^-/\\]+){2,3}\.whl")
_VCS = ("git+", "hg+", "svn+", "bzr+")
# Repositories whose name is not that of the distribution they hold.
_REPOSITORY_DISTRIBUTIONS = {"flash-attention": "flash-attn", "peft": "peft", "lm-evaluation-harness": "lm-eval"}
_UPPER_BOUNDS = ("===", "==", "~=", "<")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing asked to be installed. `name` is canonical (PEP 503), None where it cannot be told.

    `specifier` is the version part (`>=0.12,<1`), `url` where a direct reference or a file was given.
    """

    raw: str
    name: str | None = None
    extras: frozenset[str] = frozenset()
    specifier: str = ""
    marker: str = ""
    url: str | None = None

    @property
    def bounded(self) -> bool:
        """Whether the version has an upper bound, so that an older release may be installed."""
        return any(clause.strip().startswith(_UPPER_BOUNDS) for clause in self.specifier.split(","))

    @property
    def key(self) -> str | None:
        """`name[extra,extra]`, as `libraries.packages` takes it."""
        return f"{self.name}[{','.join(sorted(self.extras))}]" if self.name and self.extras else self.name


def canonical_name(name: str) -> str:
    """The name as PEP 503 normalises it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_requirement(text: str) -> Requirement:
    """The requirement that `text` states. What cannot be read has `name` None; nothing is raised."""
    raw = text.strip()[:_LONGEST_TEXT]
    body, _, marker = raw.partition(";") if "://" not in raw else (raw, "", "")
    if match := _DIRECT_REFERENCE.fullmatch(raw.partition(" ;")[0].strip()):
        return _named(raw, match["name"], match["extras"], url=match["url"])
    if raw.startswith(_VCS) or "://" in raw:
        return Requirement(raw=raw, name=_name_in_url(raw), url=raw)
    if raw.endswith((".whl", ".tar.gz", ".zip")) or "/" in raw or "\\" in raw or raw in (".", ".."):
        return Requirement(raw=raw, name=_name_in_file(raw), url=raw)
    if match := _REQUIREMENT.fullmatch(body.strip()):
        return _named(raw, match["name"], match["extras"], match["specifier"] or "", marker.strip())
    return Requirement(raw=raw)


def parse_requirements(value: object) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
    """The requirements in a list, or in a string of one or several, and what could not be taken as one."""
    if value is None:
        return (), ()
    if isinstance(value, str):
        return tuple(parse_requirement(part) for part in split_requirements(value)), ()
    if not isinstance(value, Iterable) or isinstance(value, bytes | bytearray | dict):
        return (), (f"dependencies are a list of names, not a {type(value).__name__}",)
    requirements: list[Requirement] = []
    problems: list[str] = []
    for item in value:
        if not isinstance(item, str):
            problems.append(f"a dependency is a text, not a {type(item).__name__}")
        elif item.strip():
            requirements.append(parse_requirement(item))
    return tuple(requirements), tuple(problems)


def split_requirements(text: str) -> list[str]:
    """The single requirements of a string: separated by commas, blanks or lines, or a JSON list."""
    text = text.strip()[:_LONGEST_TEXT]
    if text.startswith("["):
        import json

        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, list):
            return [item for item in decoded if isinstance(item, str) and item.strip()]
    return [part for line in text.splitlines() for part in _split_line(line.strip())]


def _split_line(line: str) -> list[str]:
    if not line or line.startswith("#"):
        return []
    if ";" in line or " @ " in line:  # a marker or a direct reference has blanks of its own
        return [line]
    parts: list[str] = []
    position = 0
    while position < len(line):
        if line[position] in ", \t":
            position += 1
            continue
        match = _REQUIREMENT.match(line, position)
        end = match.end() if match else position
        if match is None or (end < len(line) and line[end] not in ", \t" and line[end - 1] not in ", \t"):
            blank = re.compile(r"[,\s]").search(line, position)
            end = blank.start() if blank else len(line)
        parts.append(line[position:end].strip())
        position = max(end, position + 1)
    return parts


def _named(
    raw: str, name: str, extras: str | None, specifier: str = "", marker: str = "", url: str | None = None
) -> Requirement:
    return Requirement(
        raw=raw,
        name=canonical_name(name),
        extras=frozenset(canonical_name(extra.strip()) for extra in (extras or "").split(",") if extra.strip()),
        specifier=re.sub(r"\s+", "", specifier),
        marker=marker,
        url=url,
    )


def _name_in_url(url: str) -> str | None:
    if match := _EGG.search(url):
        return canonical_name(match["name"])
    path = url.partition("#")[0].partition("?")[0].rstrip("/")
    if name := _name_in_file(path):
        return name
    if not url.startswith(_VCS):
        return None
    repository = path.rpartition("/")[2].partition("@")[0].removesuffix(".git")
    name = canonical_name(repository)
    return _REPOSITORY_DISTRIBUTIONS.get(name, name) if re.fullmatch(_NAME, repository) else None


def _name_in_file(path: str) -> str | None:
    match = _WHEEL.fullmatch(re.split(r"[/\\]", path)[-1])
    return canonical_name(match["name"]) if match else None
