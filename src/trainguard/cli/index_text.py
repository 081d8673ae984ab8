"""What `trainguard index` prints: tables, a name's description, the changes between two releases."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from trainguard.errors import UsageError

if TYPE_CHECKING:
    from trainguard.libraries.api.index import Index
    from trainguard.libraries.api.query import Interfaces
    from trainguard.libraries.api.records import Parameter
    from trainguard.libraries.api.signatures import Signatures

_KINDS = ("positional only", "", "*", "keyword only", "**")  # in the order of `inspect.Parameter.kind`


def library_table(index: Index) -> list[dict[str, object]]:
    """Each library with its releases and where they are from."""
    rows: list[dict[str, object]] = []
    for name in index.libraries:
        releases = index.releases(name)
        dates = [release.date for release in releases if release.date]
        rows.append(
            {
                "library": name,
                "releases": len(releases),
                "oldest": releases[0].version,
                "newest": releases[-1].version,
                "released": max(dates, default=""),
                "added_by_you": index.own_releases(name),
            }
        )
    return rows


def release_table(index: Index, library: str) -> list[dict[str, object]]:
    """Each release of a library with its metadata."""
    return [
        {"version": r.version, "released": r.date, "python": r.python, "yanked": r.yanked, "requires": list(r.requires)}
        for r in index.releases(library)
    ]


def at_release(index: Index, library: str, version: str) -> Interfaces:
    """A library at one release, with what an installer brings along."""
    from trainguard.libraries.api.query import Interfaces
    from trainguard.libraries.resolution import resolve

    resolution = resolve([f"{library.replace('_', '-')}=={version}"], index.all_releases)
    return Interfaces(index, {**resolution.versions, library: version})


def describe(index: Index, library: str, version: str, symbol: str) -> dict[str, Any]:
    """What a name is in a release. Raises UsageError, with a suggestion, if it is not there."""
    from trainguard.libraries.api.query import Found, Missing
    from trainguard.libraries.api.records import Class
    from trainguard.libraries.api.signatures import Signatures

    interfaces = at_release(index, library, version)
    found = interfaces.find(symbol)
    if isinstance(found, Missing):
        raise UsageError(_missing_words(interfaces, found, symbol))
    if not isinstance(found, Found):
        raise UsageError(f"{symbol}: nothing is recorded of it in {library} {version}")
    signatures = Signatures(interfaces)
    signature = signatures.of(symbol)
    described: dict[str, Any] = {
        "symbol": symbol,
        "library": library,
        "version": version,
        "with": {name: at for name, at in sorted(interfaces.versions.items()) if name != library},
        "kind": type(found.definition).__name__.lower(),
        "defined": found.path,
    }
    if isinstance(found.definition, Class):
        described["bases"] = list(found.definition.bases)
        described["members"] = [name for name in found.definition.members if not name.startswith("_")]
    if signature is not None:
        described["parameters"] = [_parameter(p, signatures, symbol) for p in signature.parameters]
        described["takes_more"] = "anything" if signature.is_open else sorted({*signature.forwarded, *signature.taken})
        described["going_away"] = [asdict(notice) for notice in signature.deprecations]
    return described


def _parameter(parameter: Parameter, signatures: Signatures, symbol: str) -> dict[str, Any]:
    row = {
        "name": parameter.name,
        "kind": _KINDS[parameter.kind],
        "default": parameter.default,
        "annotation": parameter.annotation,
        "choices": list(parameter.choices) if parameter.choices is not None else None,
        "since": _since(signatures, symbol, parameter.name),
    }
    return {key: value for key, value in row.items() if value not in (None, "")}


def _since(signatures: Signatures, symbol: str, argument: str) -> str | None:
    """The first release of the run of releases up to this one that take the argument; None for the oldest indexed."""
    from trainguard.libraries.api.signatures import Signatures

    interfaces = signatures.interfaces
    library = symbol.partition(".")[0]
    since: str | None = interfaces.versions[library]
    versions = interfaces.index.versions(library)
    for version in reversed(versions[: versions.index(interfaces.versions[library])]):
        known = Signatures(interfaces.at(library, version)).of(symbol)
        if known is None or not known.names(argument):
            return since
        since = version
    return None


def _missing_words(interfaces: Interfaces, missing: Any, symbol: str) -> str:
    words = f"{symbol} is not in {missing.package} {interfaces.versions[missing.package]}"
    past = interfaces.past(missing)
    if past.last is not None:
        words += f"; {past.last} had it, {past.gone} took it away"
    elif past.added is not None:
        words += f"; it came with {past.added}"
    moved = interfaces.moved(missing) or interfaces.similar(missing)
    return words + (f"; did you mean {moved}?" if moved else "")


def described_text(described: dict[str, Any]) -> str:
    """`describe` as text."""
    others = ", ".join(f"{name} {version}" for name, version in described["with"].items())
    lines = [f"{described['symbol']}  {described['kind']}, {described['library']} {described['version']}"]
    lines.append(f"  defined as {described['defined']}")
    if others:
        lines.append(f"  with {others}")
    if described.get("bases"):
        lines.append(f"  bases: {', '.join(described['bases'])}")
    if "parameters" in described:
        lines += ["", "takes"]
        width = max((len(row["name"]) for row in described["parameters"]), default=0)
        lines += [_parameter_text(row, width) for row in described["parameters"]]
        more = described["takes_more"]
        if more:
            lines.append(f"  and {more if isinstance(more, str) else ', '.join(more)} by keyword")
        if described["going_away"]:
            lines += ["", "going away", *map(_notice_text, described["going_away"])]
    if described.get("members"):
        lines += ["", "members", f"  {', '.join(described['members'])}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _parameter_text(row: dict[str, Any], width: int) -> str:
    mark = row["kind"] if row.get("kind") in ("*", "**") else ""
    text = f"  {mark + row['name']:<{width}}"
    if "default" in row:
        text += f" = {row['default']}"
    elif not mark:
        text += " (required)"
    if "choices" in row:
        text += f"  one of {', '.join(map(repr, row['choices']))}"
    if row.get("kind") in ("keyword only", "positional only"):
        text += f"  {row['kind']}"
    return text + (f"  since {row['since']}" if "since" in row else "")


def _notice_text(notice: dict[str, Any]) -> str:
    text = f"  {notice['name'] or 'all of it'}"
    if notice["new"]:
        text += f" -> {notice['new']}"
    if notice["removal"]:
        text += f", to be removed in {notice['removal']}"
    return text if notice["accepted"] else f"{text} (refused already)"


def compare(index: Index, library: str, old: str, new: str) -> list[dict[str, str]]:
    """What changed from one release to another, the other libraries being those that go with the newer one."""
    from trainguard.libraries.api.changes import changes

    after = at_release(index, library, new)
    rows = [asdict(change) for change in changes(after.at(library, old), after, library)]
    return [{key: value for key, value in row.items() if value} for row in rows]


_HEADS = {
    "removed": "Names that are gone",
    "moved": "Names that moved",
    "argument-removed": "Arguments that are gone",
    "argument-renamed": "Arguments that were renamed",
    "argument-required": "Arguments that must be given now",
    "choice-removed": "Choices that are gone",
    "default-changed": "Defaults that are others",
    "deprecated": "Arguments that are going away",
    "added": "New names",
    "argument-added": "New arguments",
    "choice-added": "New choices",
}


def changes_text(library: str, old: str, new: str, found: list[dict[str, str]]) -> str:
    """`compare` as text, what breaks first."""
    if not found:
        return f"{library} {old} and {new} have the same public interface.\n"
    order = list(_HEADS)
    ordered = sorted(found, key=lambda change: order.index(change["kind"]))
    lines = [f"{library} {old} -> {new}"]
    for kind, group in groupby(ordered, key=lambda change: change["kind"]):
        rows = list(group)
        lines += ["", f"{_HEADS[kind]} ({len(rows)})"]
        lines += [f"  {_change_text(row)}" for row in rows]
    return "\n".join(lines) + "\n"


def _change_text(row: dict[str, str]) -> str:
    name = f"{row['path']}({row['argument']}=)" if "argument" in row else row["path"]
    match row["kind"]:
        case "moved" | "argument-renamed":
            return f"{name} -> {row['new']}"
        case "default-changed":
            return f"{name}: {row['old']} -> {row['new']}"
        case "choice-removed":
            return f"{name}: {row['old']}"
        case "choice-added":
            return f"{name}: {row['new']}"
        case "deprecated":
            removal = f", to be removed in {row['old']}" if "old" in row else ""
            return f"{name}{' -> ' + row['new'] if 'new' in row else ''}{removal}"
        case _:
            return name
