"""Devices and their memory, read through NVML and psutil: never through torch, which would take memory to answer."""

import functools
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml

LANE = "cpu lane"  # where jobs run that need no device


@dataclass(frozen=True)
class Memory:
    """Bytes of one device: `total`, `used` by anybody, `ours` by workers of this workspace (None: cannot be told)."""

    device: str
    label: str
    total: int
    used: int
    ours: int | None


@functools.cache
def _gpu_handles() -> list[object]:
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def has_gpu() -> bool:
    """Whether NVML sees an NVIDIA GPU."""
    return bool(_gpu_handles())


def resolve(device: str) -> str:
    """`auto` as the device that torch will find: the first CUDA GPU, else Apple's, else the CPU."""
    if device == "cuda":
        return "cuda:0"
    if device != "auto":
        return device
    if has_gpu():
        return "cuda:0"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def lock_key(device: str) -> str:
    """The name of a device's lock, the same in every workspace and container: a GPU's UUID, else its name."""
    handles = _gpu_handles()
    index = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and index < len(handles):
        return str(pynvml.nvmlDeviceGetUUID(handles[index]))
    return device.replace(":", "-")


def label(device: str) -> str:
    """What a person calls the device: "NVIDIA H200", "this CPU (2 cores)"."""
    handles = _gpu_handles()
    index = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and index < len(handles):
        return str(pynvml.nvmlDeviceGetName(handles[index]))
    return "Apple GPU" if device == "mps" else f"this CPU ({psutil.cpu_count(logical=False) or 1} cores)"


@functools.cache
def cpu_has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AMX or AVX512-BF16), from the kernel's list of its features."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.exists() else []
    return "amx_bf16" in flags or "avx512_bf16" in flags


def likely_precision(precision: str, device: str) -> str:
    """What `auto` will most likely become, for the form; the worker asks the device itself."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16-mixed"
    return "bf16-mixed" if device == "cpu" and cpu_has_fast_bf16() else "fp32"


def resident_bytes(pid: int) -> int:
    """Memory that a process holds in RAM; 0 when it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def read_memory(pids: list[int]) -> list[Memory]:
    """Each GPU's memory, or the machine's RAM where there is no GPU; `pids`: our workers."""
    if not has_gpu():
        ram = psutil.virtual_memory()
        ours = sum(resident_bytes(pid) for pid in pids)
        return [Memory("cpu", "RAM", ram.total, ram.total - ram.available, ours)]
    return [_read_gpu(index, handle, pids) for index, handle in enumerate(_gpu_handles())]


def gpu_bytes(pid: int) -> int | None:
    """GPU memory of a process over all GPUs; None where a container hides processes or there is no GPU."""
    found = [used for handle in _gpu_handles() for owner, used in _processes(handle) if owner == pid]
    return sum(found) if found else None


def _read_gpu(index: int, handle: object, pids: list[int]) -> Memory:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    owners = _processes(handle)
    ours = sum(used for owner, used in owners if owner in pids) if owners or not pids else None
    name = str(pynvml.nvmlDeviceGetName(handle))
    return Memory(f"cuda:{index}", name, int(memory.total), int(memory.used), ours)


def _processes(handle: object) -> list[tuple[int, int]]:
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return []
    return [(process.pid, process.usedGpuMemory or 0) for process in running]
