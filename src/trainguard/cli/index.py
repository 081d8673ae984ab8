"""`trainguard index`: the interfaces of the training libraries that checks know, and how to add more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN

if TYPE_CHECKING:
    from trainguard.libraries.api.index import Index

_FORMATS = click.Choice(("text", "json"))


@click.group("index", short_help="The libraries' interfaces: list, show, compare, add.")
def command() -> None:
    """The interfaces of the training libraries, release by release: what checks compare a script with.

    \b
    Examples:
      trainguard index list
      trainguard index show trl.SFTConfig --version 0.19.0
      trainguard index diff trl 0.19.0 0.20.0
      trainguard index add torch
    """


@command.command("list", short_help="List libraries and releases.")
@click.argument("library", required=False)
@click.option("--format", "output_format", type=_FORMATS, default="text", help="A table, or JSON.")
def list_command(library: str | None, output_format: str) -> int:
    """List the libraries that are known, or all releases of one LIBRARY.

    \b
    Examples:
      trainguard index list
      trainguard index list trl
      trainguard index list --format json
    """
    from trainguard.cli.index_text import library_table, release_table
    from trainguard.libraries.api.index import open_index
    from trainguard.report.json_ import to_json

    index = open_index()
    if library is not None:
        name = known_library(index, library)
        write(to_json(release_table(index, name)) if output_format == "json" else _lines(release_table(index, name)))
        return EXIT_CLEAN
    rows = library_table(index)
    write(to_json({"libraries": rows}) if output_format == "json" else _lines(rows))
    return EXIT_CLEAN


@command.command("show", short_help="Show what a name is in a release.")
@click.argument("symbol")
@click.option("--version", metavar="VERSION", help="The release of the symbol's library; the newest by default.")
@click.option("--format", "output_format", type=_FORMATS, default="text", help="Text, or JSON.")
def show_command(symbol: str, version: str | None, output_format: str) -> int:
    """Show SYMBOL: where it is defined, what it takes, what is going away, and since when it is so.

    Other libraries, whose classes it may inherit from, are taken at the versions that an installer would choose.

    \b
    Examples:
      trainguard index show trl.SFTConfig
      trainguard index show transformers.Trainer.train --version 4.46.3
      trainguard index show peft.LoraConfig --format json
    """
    from trainguard.cli.index_text import describe, described_text
    from trainguard.libraries.api.index import open_index
    from trainguard.report.json_ import to_json

    index = open_index()
    library = known_library(index, symbol.partition(".")[0])
    chosen = known_version(index, library, version) if version is not None else index.versions(library)[-1]
    described = describe(index, library, chosen, symbol)
    write(to_json(described) if output_format == "json" else described_text(described))
    return EXIT_CLEAN


@command.command("diff", short_help="Compare two releases of a library.")
@click.argument("package")
@click.argument("old")
@click.argument("new")
@click.option("--only", metavar="KIND", multiple=True, help="Only these kinds of change, such as argument-removed.")
@click.option("--format", "output_format", type=_FORMATS, default="text", help="Text, or JSON.")
def diff_command(package: str, old: str, new: str, only: tuple[str, ...], output_format: str) -> int:
    """Show what changed in PACKAGE's public interface from release OLD to release NEW.

    Names and arguments that were removed, renamed, moved or added, and defaults and choices that are others.

    \b
    Examples:
      trainguard index diff trl 0.19.0 0.20.0
      trainguard index diff transformers 4.57.6 5.0.0 --only argument-removed --only argument-renamed
      trainguard index diff peft 0.17.1 0.18.0 --format json
    """
    from trainguard.cli.index_text import changes_text, compare
    from trainguard.libraries.api.changes import KINDS
    from trainguard.libraries.api.index import open_index
    from trainguard.report.json_ import to_json

    for kind in only:
        if kind not in KINDS:
            raise UsageError(f"--only {kind}: {_did_you_mean(kind, KINDS)}")
    index = open_index()
    library = known_library(index, package)
    first, second = known_version(index, library, old), known_version(index, library, new)
    found = [change for change in compare(index, library, first, second) if not only or change["kind"] in only]
    write(
        to_json({"library": library, "old": first, "new": second, "changes": found})
        if output_format == "json"
        else changes_text(library, first, second, found)
    )
    return EXIT_CLEAN


@command.command("add", short_help="Add a library of this environment, or a wheel.")
@click.argument("package")
@click.option("--wheel", type=click.Path(path_type=Path, dir_okay=False), help="Read this wheel file.")
@click.option("--fetch", is_flag=True, help="Fetch the wheel through pip, without its dependencies.")
@click.option("--library", metavar="NAME", help="The import name, where it is not that of the package.")
def add_command(package: str, wheel: Path | None, fetch: bool, library: str | None) -> int:
    """Add PACKAGE[==VERSION] to your own index, so that checks know it too: torch, unsloth, a private library.

    It is read from the environment that trainguard runs in, from a wheel file, or fetched through pip when you say
    so. Its source is parsed, never imported. Your index is a file in the folder for caches; TRAINGUARD_CACHE names
    another folder.

    \b
    Examples:
      trainguard index add torch
      trainguard index add unsloth==2025.11.1 --fetch
      trainguard index add our-trainers --wheel dist/our_trainers-1.2-py3-none-any.whl
    """
    from trainguard.cli.index_add import add_package

    if wheel is not None and fetch:
        raise UsageError("--wheel and --fetch exclude each other")
    write(add_package(package, wheel=wheel, fetch=fetch, library=library))
    return EXIT_CLEAN


@command.command("update", short_help="Fetch releases that are newer than the index.")
@click.argument("packages", metavar="[PACKAGE]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say which releases there are.")
def update_command(packages: tuple[str, ...], dry_run: bool) -> int:
    """Fetch, through pip, the releases that came after those of the index, and add them to your own index.

    The only command that asks a package index, besides `add --fetch`; nothing is installed.

    \b
    Examples:
      trainguard index update --dry-run
      trainguard index update trl transformers
    """
    from trainguard.cli.index_add import update_packages

    write(update_packages(packages, dry_run=dry_run))
    return EXIT_CLEAN


@command.command("remove", short_help="Take a library out of your own index.")
@click.argument("package")
def remove_command(package: str) -> int:
    """Take what you have added of PACKAGE out of your own index. What ships with trainguard stays.

    \b
    Examples:
      trainguard index remove torch
    """
    from trainguard.cli.index_add import remove_package

    write(remove_package(package))
    return EXIT_CLEAN


def known_library(index: Index, name: str) -> str:
    """The import name of a library that is known. Raises UsageError with a suggestion for any other."""
    plain = name.replace("-", "_")
    if plain in index.libraries:
        return plain
    raise UsageError(
        f"{name} is not in the index; {_did_you_mean(plain, index.libraries)}; `trainguard index add {name}` adds it"
    )


def known_version(index: Index, library: str, version: str) -> str:
    """A release that is known, by its version. Raises UsageError with a suggestion for any other."""
    from packaging.version import InvalidVersion, Version

    versions = index.versions(library)
    try:
        wanted = Version(version)
    except InvalidVersion:
        raise UsageError(f"{library} {version}: is no version; write one such as {versions[-1]}") from None
    for known in versions:
        if Version(known) == wanted:
            return known
    raise UsageError(f"{library} {version} is not in the index, which has {versions[0]} to {versions[-1]}; "
                     f"`trainguard index list {library}` lists them")  # fmt: skip


def _did_you_mean(word: str, words: tuple[str, ...]) -> str:
    import difflib

    close = difflib.get_close_matches(word, words, 1)
    return f"did you mean {close[0]}?" if close else f"it may be {', '.join(words)}"


def _lines(rows: list[dict[str, object]]) -> str:
    """A table with its heads."""
    heads = list(rows[0])
    cells = [[head.replace("_", " ") for head in heads]]
    cells += [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in cells)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
