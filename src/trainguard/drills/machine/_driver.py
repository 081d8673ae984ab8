"""A stand-in for NVIDIA's driver, at the lowest boundary that a machine without GPUs has: its management library.

The reader loads the library and asks it through nvidia-ml-py in a process of its own; there it finds these.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
from pathlib import Path

# The names and numbers of nvidia-ml-py 13 (pynvml.py).
_MODULE = """
NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18
NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
NVML_VOLATILE_ECC = 0
GIB = 1 << 30


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__({9: "Driver Not Loaded", 18: "Driver/library version mismatch"}.get(value, "Unknown Error"))
        self.value = value


class Record:
    def __init__(self, **values):
        vars(self).update(values)


GPUS = []


def nvmlInit():
    INIT


def nvmlSystemGetDriverVersion():
    return "580.82.07"


def nvmlSystemGetCudaDriverVersion():
    return 13000


def nvmlSystemGetProcessName(pid):
    return "python"


def nvmlDeviceGetCount():
    return len(GPUS)


def nvmlDeviceGetHandleByIndex(index):
    return GPUS[index] | {"index": index}


def nvmlDeviceGetMemoryInfo(gpu):
    return Record(total=gpu["total"], used=gpu["used"], free=gpu["total"] - gpu["used"])


def nvmlDeviceGetName(gpu):
    return gpu["name"]


def nvmlDeviceGetUUID(gpu):
    return f"GPU-{gpu['index']}"


def nvmlDeviceGetPciInfo(gpu):
    return Record(busId=f"00000000:{gpu['index'] + 1:02X}:00.0")


def nvmlDeviceGetCudaComputeCapability(gpu):
    return (9, 0)


def nvmlDeviceGetComputeRunningProcesses(gpu):
    return [Record(pid=4242 + gpu["index"], usedGpuMemory=gpu["used"])] if gpu["used"] else []


def nvmlDeviceGetTotalEccErrors(gpu, kind, counter):
    raise NVMLError(NVML_ERROR_NOT_SUPPORTED)


def nvmlDeviceGetMigMode(gpu):
    raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
"""


def drivers(scratch: Path, start: str) -> dict[str, str | None]:
    """The environment in which a process finds the stand-in; its start runs the statement `start`."""
    folder = scratch / "driver"
    folder.mkdir(exist_ok=True)
    (folder / "pynvml.py").write_text(_MODULE.replace("INIT", start), encoding="utf-8")
    # Any library will do: it is loaded to see whether it is there, and asked through the module.
    shutil.copyfile(_some_library(), folder / "libnvidia-ml.so.1")
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    libraries = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "CUDA_VISIBLE_DEVICES": None,
        "LOCAL_RANK": None,
    }


def _some_library() -> Path:
    name = ctypes.util.find_library("m") or "libm.so.6"
    for line in Path("/proc/self/maps").read_text(encoding="ascii", errors="replace").splitlines():
        path = line.rpartition(" ")[2]
        if path.endswith((name, "libm.so.6", "libc.so.6")) and Path(path).is_file():
            return Path(path)
    raise FileNotFoundError(f"no {name} to stand in for the driver's library")
