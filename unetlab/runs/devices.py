"""Devices and their memory, read through NVML and psutil: never through torch, which would take memory to answer."""

import functools
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml

from unetlab.runs import cuda_devices

LANE = "cpu lane"  # where jobs run that need no device


@dataclass(frozen=True)
class Memory:
    """Bytes of one device: `total`, `used` by anybody, `ours` by workers of this workspace (None: cannot be told)."""

    device: str
    label: str
    total: int
    used: int
    ours: int | None


def has_gpu() -> bool:
    """Whether torch will find an NVIDIA GPU."""
    return bool(cuda_devices.visible())


def resolve(device: str) -> str:
    """`auto` as the device that torch will find: the first CUDA GPU, else Apple's, else the CPU."""
    if device == "cuda":
        return "cuda:0"
    if device != "auto":
        return device
    if has_gpu():
        return "cuda:0"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def offered() -> list[str]:
    """The devices that a job can ask for here: `auto`, every GPU, the CPU."""
    gpus = [f"cuda:{index}" for index in range(len(cuda_devices.visible()))]
    return ["auto", *gpus, *(["mps"] if resolve("auto") == "mps" else []), "cpu"]


def lock_key(device: str) -> str:
    """The name of a device's lock, the same in every workspace and container: a GPU's UUID, else its name."""
    gpu = _gpu(device)
    return gpu.uuid if gpu else device.replace(":", "-")


def label(device: str) -> str:
    """What a person calls the device: "NVIDIA H200", "this CPU (2 cores)"."""
    if gpu := _gpu(device):
        return str(pynvml.nvmlDeviceGetName(gpu.handle))
    if device.startswith("cuda"):
        return f"{device} (not found)"
    return "Apple GPU" if device == "mps" else f"this CPU ({psutil.cpu_count(logical=False) or 1} cores)"


def _gpu(device: str) -> cuda_devices.CudaDevice | None:
    """The GPU that torch calls so; None for other devices, and for a number that torch will not find."""
    if not device.startswith("cuda"):
        return None
    index, gpus = int(device.partition(":")[2] or 0), cuda_devices.visible()
    return gpus[index] if index < len(gpus) else None


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
    """Memory of each GPU that torch finds, or the machine's RAM where it finds none; `pids`: our workers."""
    gpus = cuda_devices.visible()
    if not gpus:
        ram = psutil.virtual_memory()
        ours = sum(resident_bytes(pid) for pid in pids)
        return [Memory("cpu", "RAM", ram.total, ram.total - ram.available, ours)]
    return [_read_gpu(index, gpu.handle, pids) for index, gpu in enumerate(gpus)]


def gpu_bytes(pid: int) -> int | None:
    """Memory of a process on all GPUs that torch finds; None where a container hides processes or there is none."""
    found = [used for gpu in cuda_devices.visible() for owner, used in _processes(gpu.handle) if owner == pid]
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
