"""The arguments of trl's SFTConfig, from the index of interfaces. Asked for only where a key is no field."""

from __future__ import annotations

from functools import cache


@cache
def names() -> frozenset[str]:
    """The names that the newest SFTConfig of the index takes; empty where the index cannot tell."""
    from packaging.version import Version

    from trainguard.libraries.api.index import open_index
    from trainguard.libraries.api.query import Interfaces
    from trainguard.libraries.api.signatures import Signatures

    index = open_index()
    newest: dict[str, str] = {}
    for library in ("trl", "transformers"):
        versions = index.versions(library)
        if not versions:
            return frozenset()
        newest[library] = max(versions, key=Version)
    signature = Signatures(Interfaces(index, newest)).of("trl.SFTConfig")
    return frozenset(signature.keywords) if signature is not None else frozenset()
