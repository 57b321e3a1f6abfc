"""The GPUs that torch will call cuda:0, cuda:1, ...: what CUDA shows to a worker, told without torch and a context.

NVML sees every GPU of the machine. A worker's torch may be built without CUDA, CUDA_VISIBLE_DEVICES may hide and
reorder GPUs, and a GPU in MIG mode is shown as its parts. Sources: CUDA Programming Guide, "CUDA Environment
Variables"; MIG User Guide, "CUDA Device Enumeration"; torch.cuda._parse_visible_devices.
"""

import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pynvml

# Workers get this. NVML and nvidia-smi number GPUs by PCI bus; CUDA by itself puts the fastest first, so that of unlike
# GPUs another one would be locked and shown than the one that trains.
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
SEVERAL_MIG_DEVICES = 570  # the first driver with which a process sees more than one (MIG User Guide)


@dataclass(frozen=True)
class CudaDevice:
    """A GPU, or a MIG device: a part of one. Equal if the UUID is."""

    uuid: str
    handle: object = field(compare=False, repr=False)  # NVML's
    parts: tuple["CudaDevice", ...] | None = field(default=None, compare=False)  # a GPU in MIG mode: its MIG devices
    instance: str = field(default="", compare=False)  # a MIG device: its GPU instance, of which CUDA shows one part
    old_name: str = field(default="", compare=False)  # a MIG device: as drivers before R470 name it


def visible() -> list[CudaDevice]:
    """The devices in the order of torch's numbers; none where torch was built without CUDA.

    CUDA_VISIBLE_DEVICES lists numbers, UUIDs or their unique beginnings, or MIG devices. It ends at its first invalid
    entry; a repeated one leaves nothing.
    """
    if torch_cuda_version() is None:
        return []
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = _all_gpus() if asked is None else _named(asked, _all_gpus())
    shown: dict[str, CudaDevice] = {}
    for device in chosen:
        for part in (device,) if device.parts is None else device.parts:
            shown.setdefault(part.instance or part.uuid, part)
    mig = [device for device in shown.values() if device.instance]
    return mig[:1] if mig and _driver() < SEVERAL_MIG_DEVICES else list(shown.values())


def torch_cuda_version() -> str | None:
    """The CUDA version that the installed torch was built for, from the text of its version.py; None without CUDA."""
    spec = importlib.util.find_spec("torch")  # finds it and does not import it
    try:
        text = (Path(spec.origin).parent / "version.py").read_text() if spec and spec.origin else ""
    except OSError:
        return None
    found = re.search(r"""^cuda\b[^=\n]*=\s*['"](.+?)['"]""", text, re.MULTILINE)
    return found[1] if found else None


def _named(asked: str, gpus: list[CudaDevice]) -> list[CudaDevice]:
    """The devices that CUDA_VISIBLE_DEVICES lists; the first entry says whether by number, UUID or MIG name."""
    kind = asked[:4] if asked.startswith(("GPU-", "MIG-")) else ""
    found: list[CudaDevice] = []
    for entry in asked.split(","):
        if kind == "GPU-":
            fitting = [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
        elif kind == "MIG-":
            fitting = [part for gpu in gpus for part in gpu.parts or () if entry in (part.uuid, part.old_name)]
        else:
            number = re.match(r"\s*\+?(\d+)", entry)  # as strtoul reads: "1st" is 1
            fitting = gpus[int(number[1]) :][:1] if number else []
        if len(fitting) != 1 or not entry.startswith(kind):
            break
        if fitting[0] in found:
            return []
        found += fitting
    return found


@functools.cache
def _all_gpus() -> list[CudaDevice]:
    """Every GPU that NVML sees, in its order, which is that of the PCI bus."""
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_gpu(handle) for handle in handles]
    except pynvml.NVMLError:
        return []


def _gpu(handle: object) -> CudaDevice:
    uuid = str(pynvml.nvmlDeviceGetUUID(handle))
    try:
        is_split = bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
    except pynvml.NVMLError:  # a GPU that has no MIG mode
        is_split = False
    return CudaDevice(uuid, handle, tuple(_mig_devices(handle, uuid)) if is_split else None)


def _mig_devices(gpu: object, gpu_uuid: str) -> Iterator[CudaDevice]:
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
        except pynvml.NVMLError:  # an empty place, or one that a container does not show
            continue
        instance = f"{gpu_uuid}/{pynvml.nvmlDeviceGetGpuInstanceId(handle)}"
        old_name = f"MIG-{instance}/{pynvml.nvmlDeviceGetComputeInstanceId(handle)}"
        yield CudaDevice(str(pynvml.nvmlDeviceGetUUID(handle)), handle, None, instance, old_name)


def _driver() -> int:
    """The driver's branch: 570 of "570.86.10"."""
    return int(str(pynvml.nvmlSystemGetDriverVersion()).partition(".")[0])
