"""What `pip install` and its like install."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainguard.facts.requirements import Requirement, parse_requirement


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Options of `pip install` (pip 26.3) and `uv pip install` that take a value.
_WITH_VALUE = _words(
    "-i --index-url --extra-index-url -f --find-links -t --target -c --constraint --platform --python-version "
    "--implementation --abi --no-binary --only-binary --prefix --root --src --timeout --retries --trusted-host --proxy "
    "--cache-dir --log --upgrade-strategy --config-settings -C --global-option --progress-bar --torch-backend --python "
    "-p --index --default-index --index-strategy --prerelease --resolution --exclude-newer --overrides --override "
    "--build-constraint -b --link-mode --use-feature --report --root-user-action --cert --client-cert --exists-action "
    "--upgrade-package -P --reinstall-package --group"
)
_LONGEST_SHOWN = 200


def read_install(
    arguments: Sequence[str], read_file: Callable[[str], str | None]
) -> tuple[list[Requirement], list[str]]:
    """What the arguments of pip, from `install` on, install, and what of it cannot be told.

    `read_file` gives the text of a file that is known (a requirements file that the command wrote), else None.
    """
    if "install" not in arguments:
        return [], []
    known: list[Requirement] = []
    unknown: list[str] = []
    words = list(arguments[list(arguments).index("install") + 1 :])
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word.startswith("-") and not equals and name in _WITH_VALUE | {"-r", "--requirement", "--requirements", "-e",
                                                                          "--editable"}:  # fmt: skip
            value = words.pop(0) if words else ""
        if name in ("-r", "--requirement", "--requirements"):
            text = read_file(value)
            if text is None:
                unknown.append(f"-r {value}"[:_LONGEST_SHOWN])
            else:
                known += [parse_requirement(line) for line in _requirement_lines(text)]
        elif name in ("-e", "--editable"):
            _add(value, known, unknown)
        elif not word.startswith("-") and word.strip():
            _add(word, known, unknown)
    unknown += [requirement.raw[:_LONGEST_SHOWN] for requirement in known if requirement.name is None]
    return [requirement for requirement in known if requirement.name is not None], unknown


def _add(word: str, known: list[Requirement], unknown: list[str]) -> None:
    if "$" in word:  # a variable whose value is not known
        unknown.append(word[:_LONGEST_SHOWN])
    else:
        known.append(parse_requirement(word))


def _requirement_lines(text: str) -> list[str]:
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]
