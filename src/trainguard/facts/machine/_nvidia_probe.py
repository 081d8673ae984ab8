"""Asks NVIDIA's management library about the GPUs; run as a process of its own, since a wedged driver never answers.

Prints one line of JSON. Needs the package nvidia-ml-py (module pynvml); calls that a GPU or driver does not support
leave their field out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def main() -> None:
    print(json.dumps({"started": True}), flush=True)
    print(json.dumps(_read()), flush=True)


def _read() -> dict[str, Any]:
    try:
        import pynvml as nvml  # type: ignore[import-untyped]
    except ImportError:
        return {"status": "no-binding"}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        statuses = {
            nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no-library",
            nvml.NVML_ERROR_DRIVER_NOT_LOADED: "no-driver",
            nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "version-mismatch",
        }
        return {"status": statuses.get(error.value, "error"), "message": str(error)}
    cuda = _asked(nvml, nvml.nvmlSystemGetCudaDriverVersion)  # 12080 is 12.8
    return {
        "status": "ok",
        "driver": _asked(nvml, nvml.nvmlSystemGetDriverVersion),
        "cuda": [cuda // 1000, cuda % 1000 // 10] if cuda else None,
        "gpus": [_gpu(nvml, index) for index in range(_asked(nvml, nvml.nvmlDeviceGetCount) or 0)],
    }


def _gpu(nvml: Any, index: int) -> dict[str, Any]:
    values: dict[str, Any] = {"index": index}
    try:
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        values |= {"total_bytes": memory.total, "free_bytes": memory.free, "used_bytes": memory.used}
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:  # memory shared with the processor has no figure of its own
            return values | {"problem": str(error)}
    values["name"] = _asked(nvml, nvml.nvmlDeviceGetName, device)
    values["uuid"] = _asked(nvml, nvml.nvmlDeviceGetUUID, device)
    pci = _asked(nvml, nvml.nvmlDeviceGetPciInfo, device)
    if pci is not None:
        values["bus_id"] = pci.busId.decode() if isinstance(pci.busId, bytes) else str(pci.busId)
    values["capability"] = _asked(nvml, nvml.nvmlDeviceGetCudaComputeCapability, device)
    values["processes"] = _processes(nvml, device)
    values["uncorrected_errors"] = _asked(
        nvml,
        nvml.nvmlDeviceGetTotalEccErrors,
        device,
        nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
        nvml.NVML_VOLATILE_ECC,
    )
    mode = _asked(nvml, nvml.nvmlDeviceGetMigMode, device)
    values["mig"] = None if mode is None else bool(mode[0])
    return values


def _processes(nvml: Any, device: Any) -> list[dict[str, Any]] | None:
    found = _asked(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, device)
    if found is None:
        return None
    names = {each.pid: _asked(nvml, nvml.nvmlSystemGetProcessName, each.pid) for each in found}
    return [{"pid": each.pid, "used_bytes": each.usedGpuMemory, "name": names[each.pid]} for each in found]


def _asked(nvml: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    try:
        answer = question(*arguments)
    except (nvml.NVMLError, UnicodeDecodeError):
        return None
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


if __name__ == "__main__":
    main()
