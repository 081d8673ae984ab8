"""Storage mounted into a job: buckets, and repositories of the hub, with where they are mounted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

VolumeKind: TypeAlias = Literal["bucket", "model", "dataset", "space", "kernel", "local"]

# huggingface_hub 2.4.0, `constants.HF_URI_TYPE_PREFIXES`; without a prefix the URI names a model.
_PREFIXES: Mapping[str, VolumeKind] = {
    "models": "model",
    "datasets": "dataset",
    "spaces": "space",
    "kernels": "kernel",
    "buckets": "bucket",
}
_PROTOCOL = "hf://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One mount. `source` is `namespace/name` (with the path inside), or a folder of the submitter.

    `read_only` is what the job finds: repositories are read-only whatever is asked, buckets read-write
    unless asked otherwise (huggingface_hub 2.4.0, `Volume`), a synchronised folder read-only unless `:rw`.
    """

    kind: VolumeKind
    source: str
    mount_path: str
    read_only: bool


def read_volume(value: object) -> Volume | None:
    """The mount that a text (`hf://buckets/org/name:/data:rw`) or a mapping describes; None for anything else."""
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, Mapping):
        return _from_mapping(value)
    # `huggingface_hub.Volume` itself, as the Python API takes it.
    attributes = {name: getattr(value, name, None) for name in ("type", "source", "mount_path", "read_only")}
    return _from_mapping(attributes) if isinstance(attributes["source"], str) else None


def read_volumes(value: object) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """All mounts of a `volumes` argument, and what could not be read as one."""
    if value is None or value == "":
        return (), ()
    if isinstance(value, Mapping) and "source" not in value and not {"mount_path", "mountPath"} & set(value):
        # {"/data": "hf://buckets/org/name"} and {"hf://buckets/org/name": "/data"} are both written.
        pairs = [(k, v) if str(v).startswith("/") else (v, k) for k, v in value.items()]
        value = [f"{source}:{mount}" if isinstance(source, str) else {**source, "mount_path": mount}
                 for source, mount in pairs if isinstance(source, str | Mapping)]  # fmt: skip
    items = value if isinstance(value, list | tuple) else [value]
    volumes = [(item, read_volume(item)) for item in items]
    problems = tuple(f"a volume cannot be read: {str(item)[:80]}" for item, volume in volumes if volume is None)
    return tuple(volume for _, volume in volumes if volume is not None), problems


def _from_text(text: str) -> Volume | None:
    source, mount_path, read_only = _split(text)
    if mount_path is None:
        return None
    if not source.startswith(_PROTOCOL):
        kind: VolumeKind = "local"
        return Volume(kind=kind, source=source, mount_path=mount_path, read_only=read_only is not False)
    first, _, rest = source.removeprefix(_PROTOCOL).partition("/")
    kind = _PREFIXES.get(first, "model")
    identifier = rest if first in _PREFIXES else source.removeprefix(_PROTOCOL)
    return _volume(kind, identifier, mount_path, read_only)


def _split(text: str) -> tuple[str, str | None, bool | None]:
    """Source, mount path and flag of `SOURCE:/MOUNT[:ro|:rw]`."""
    read_only: bool | None = None
    for flag, meaning in ((":ro", True), (":rw", False)):
        if text.endswith(flag):
            text, read_only = text.removesuffix(flag), meaning
            break
    source, colon, mount_path = text.rpartition(":/")
    return (source, "/" + mount_path, read_only) if colon and source != "hf" else (text, None, read_only)


def _from_mapping(value: Mapping[Any, Any]) -> Volume | None:
    source = value.get("source")
    mount_path = value.get("mountPath") or value.get("mount_path") or value.get("target")
    if not isinstance(source, str) or not isinstance(mount_path, str):
        return None
    read_only = value.get("readOnly", value.get("read_only"))
    kind = value.get("type", value.get("kind"))
    if source.startswith(_PROTOCOL):
        volume = _from_text(f"{source}:{mount_path}" if mount_path.startswith("/") else source)
        return volume and _volume(volume.kind, volume.source, volume.mount_path, read_only)
    if not isinstance(kind, str):
        kind = "model"
    kind = _PREFIXES.get(kind, kind)
    if kind not in _PREFIXES.values():
        return None
    return _volume(cast(VolumeKind, kind), source, mount_path, read_only)


def _volume(kind: VolumeKind, source: str, mount_path: str, read_only: object) -> Volume:
    return Volume(kind=kind, source=source, mount_path=mount_path, read_only=kind != "bucket" or read_only is True)
