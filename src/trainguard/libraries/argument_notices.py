"""Arguments that a library announces as going away in a way that its index does not show.

`PreTrainedModel.from_pretrained` takes these out of its `**kwargs` and speaks of them together, or elsewhere:
transformers 4.38.0 to 4.57.6, modeling_utils.py ("The `load_in_4bit` and `load_in_8bit` arguments are deprecated");
4.56.0 on, modeling_utils.py and configuration_utils.py ("`torch_dtype` is deprecated! Use `dtype` instead!"). The
releases were found by reading all wheels.
"""

from __future__ import annotations

from packaging.version import Version

from trainguard.libraries.api.records import Deprecation

_QUANTIZED = "quantization_config=BitsAndBytesConfig(...)"
# First release, first release without it (empty: the newest still has it), and what is said.
_NOTICES = (
    ("4.38.0", "5.0.0", Deprecation("load_in_4bit", _QUANTIZED)),
    ("4.38.0", "5.0.0", Deprecation("load_in_8bit", _QUANTIZED)),
    ("4.56.0", "", Deprecation("torch_dtype", "dtype", same=True)),
)


def notices_of(path: str, version: str | None) -> tuple[Deprecation, ...]:
    """What transformers at `version` announces of arguments of the callable at `path` beyond what the index has."""
    library, _, name = path.partition(".")
    if library != "transformers" or version is None or name.rpartition(".")[2] != "from_pretrained":
        return ()
    owner = name.rpartition(".")[0].rpartition(".")[2]
    if not owner.startswith(("AutoModel", "PreTrainedModel", "_BaseAuto")) and ".modeling_" not in path:
        return ()
    number = Version(version)
    return tuple(
        notice
        for since, until, notice in _NOTICES
        if number >= Version(since) and (not until or number < Version(until))
    )
