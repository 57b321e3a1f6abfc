"""Which GPU torch will call cuda:0, with a stand-in for NVML. Oracles: CUDA's documentation, torch's own reading."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import psutil
import pynvml
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import ROOT
from unetlab.runs import cuda_devices, devices, warm

WITH_CUDA = "__version__ = '2.14.1+cu130'\ndebug = False\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
WITHOUT_CUDA = WITH_CUDA.replace("'13.0'", "None")
GIB = 2**30


@dataclass
class FakeGpu:
    """A GPU, or a MIG device in `mig`, as NVML's functions answer for it; `mig` None: not in MIG mode."""

    uuid: str
    name: str = "NVIDIA A100"
    used: dict[int, int] = field(default_factory=dict)
    mig: list["FakeGpu | None"] | None = None
    instance: int = 0
    part: int = 0


def fake_nvml(gpus: list[FakeGpu], *, driver: str) -> SimpleNamespace:
    """The functions of pynvml that unetlab calls."""

    def mig_mode(gpu: FakeGpu) -> list[int]:
        if "A100" not in gpu.name:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(gpu.mig is not None), 0]

    def mig_device(gpu: FakeGpu, index: int) -> FakeGpu:
        places = gpu.mig or []
        if index >= len(places) or (found := places[index]) is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    return SimpleNamespace(
        NVMLError=pynvml.NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=gpus.__getitem__,
        nvmlSystemGetDriverVersion=lambda: driver,
        nvmlDeviceGetUUID=lambda gpu: gpu.uuid,
        nvmlDeviceGetName=lambda gpu: gpu.name,
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(total=80 * GIB, used=sum(gpu.used.values())),
        nvmlDeviceGetComputeRunningProcesses=lambda gpu: [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in gpu.used.items()
        ],
        nvmlDeviceGetMigMode=mig_mode,
        nvmlDeviceGetMaxMigDeviceCount=lambda gpu: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=mig_device,
        nvmlDeviceGetGpuInstanceId=lambda gpu: gpu.instance,
        nvmlDeviceGetComputeInstanceId=lambda gpu: gpu.part,
    )


def four() -> list[FakeGpu]:
    """Four GPUs, of which two UUIDs begin alike."""
    names = ("NVIDIA A100", "NVIDIA T4", "NVIDIA A100", "NVIDIA H100")
    uuids = ("GPU-5d5ba0d6", "GPU-5d11ebd6", "GPU-08279800", "GPU-71086aca")
    return [FakeGpu(uuid, name) for uuid, name in zip(uuids, names, strict=True)]


def with_mig() -> list[FakeGpu]:
    """A whole GPU and one in MIG mode: instance 1 with two parts, an empty place, instance 2, and a GPU without any."""
    parts = [
        FakeGpu("MIG-c788539f", "A100 MIG 1c.3g.40gb", instance=1, part=0),
        FakeGpu("MIG-405bbda1", "A100 MIG 1c.3g.40gb", instance=1, part=1),
        None,
        FakeGpu("MIG-b4b2228d", "A100 MIG 1g.10gb", instance=2, part=0),
    ]
    return [FakeGpu("GPU-whole"), FakeGpu("GPU-split", mig=parts), FakeGpu("GPU-empty", mig=[])]


class Machine:
    """What a test says of the machine: its GPUs, the installed torch, CUDA_VISIBLE_DEVICES."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch, self._version = patch, folder / "torch" / "version.py"
        self._version.parent.mkdir()
        spec = SimpleNamespace(origin=str(folder / "torch" / "__init__.py"))
        patch.setattr(cuda_devices.importlib.util, "find_spec", lambda name: spec)
        self.torch(WITH_CUDA)

    def torch(self, version: str) -> None:
        self._version.write_text(version)

    def gpus(self, gpus: list[FakeGpu], *, driver: str = "570.86.10") -> None:
        for module in (cuda_devices, devices):
            self._patch.setattr(module, "pynvml", fake_nvml(gpus, driver=driver))
        cuda_devices._all_gpus.cache_clear()

    def shows(self, asked: str | None) -> list[str]:
        if asked is None:
            self._patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            self._patch.setenv("CUDA_VISIBLE_DEVICES", asked)
        return [device.uuid for device in cuda_devices.visible()]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    yield Machine(monkeypatch, tmp_path)
    cuda_devices._all_gpus.cache_clear()


def test_auto_is_the_cpu_where_torch_was_built_without_cuda(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    machine.gpus(four())
    assert (devices.resolve("auto"), devices.has_gpu()) == ("cuda:0", True)
    machine.torch(WITHOUT_CUDA)
    assert (devices.resolve("auto"), devices.has_gpu()) == ("cpu", False)
    assert [memory.label for memory in devices.read_memory([])] == ["RAM"]
    assert devices.lock_key("cuda:0") == "cuda-0"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (WITH_CUDA, "13.0"),
        (WITHOUT_CUDA, None),
        ("__version__ = '1.13.1'\ncuda = '11.7'\n", "11.7"),
        ("__version__ = '2.0.0'\ncuda = None\nhip = '5.4'\n", None),
        ("__version__ = '2.14.1+cpu'\n", None),
        ("", None),
    ],
)
def test_the_text_of_torchs_version_says_for_which_cuda_it_was_built(machine: Machine, text: str, version: str | None):
    machine.torch(text)
    assert cuda_devices.torch_cuda_version() == version


def test_the_installed_torch_is_read_as_it_says_itself():
    assert cuda_devices.torch_cuda_version() == torch.version.cuda


def test_without_a_torch_there_is_no_cuda(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda_devices.importlib.util, "find_spec", lambda name: None)
    assert cuda_devices.torch_cuda_version() is None


@pytest.mark.parametrize("asked", ["", " ", "-1", "NoDevFiles", "4", "GPU-9", "GPU-5d", "MIG-none"])
def test_a_variable_that_shows_no_gpu_leaves_auto_the_cpu(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, asked: str
):
    monkeypatch.setattr(sys, "platform", "linux")
    machine.gpus(four())
    assert machine.shows(asked) == []
    assert (devices.resolve("auto"), devices.has_gpu(), devices.gpu_bytes(os.getpid())) == ("cpu", False, None)
    assert devices.read_memory([])[0].total == psutil.virtual_memory().total


def test_of_remapped_gpus_lock_label_and_memory_are_those_that_torch_will_use(machine: Machine):
    gpus = four()
    gpus[3].used, gpus[1].used = {7: 5 * GIB, 8: GIB}, {7: 3 * GIB}
    machine.gpus(gpus)
    assert machine.shows("3,1") == ["GPU-71086aca", "GPU-5d11ebd6"]
    assert [devices.lock_key(name) for name in ("cuda:0", "cuda:1", "cuda:2")] == [
        "GPU-71086aca",
        "GPU-5d11ebd6",
        "cuda-2",
    ]
    assert [devices.label(name) for name in ("cuda:0", "cuda:1", "cuda:2")] == [
        "NVIDIA H100",
        "NVIDIA T4",
        "cuda:2 (not found)",
    ]
    first, second = devices.read_memory([7])
    assert (first.device, first.label, first.used, first.ours) == ("cuda:0", "NVIDIA H100", 6 * GIB, 5 * GIB)
    assert (second.device, second.ours) == ("cuda:1", 3 * GIB)
    assert devices.gpu_bytes(7) == 8 * GIB
    assert machine.shows("1") == ["GPU-5d11ebd6"]
    assert devices.gpu_bytes(7) == 3 * GIB


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        (None, [0, 1, 2, 3]),
        ("2,1", [2, 1]),
        ("0,2,-1,1", [0, 2]),  # the examples of the CUDA Programming Guide
        ("1,9,0", [1]),
        ("1,,0", [1]),
        (" 2, 0", [2, 0]),
        ("1,1", []),
        ("GPU-71086aca,GPU-0", [3, 2]),
        ("GPU-5d1", [1]),
        ("GPU-5d1,GPU-5d,GPU-7", [1]),
        ("GPU-0,3", [2]),
        ("GPU-0,GPU-08", []),
    ],
)
def test_the_variable_ends_at_its_first_invalid_entry(machine: Machine, asked: str | None, numbers: list[int]):
    machine.gpus(four())
    assert machine.shows(asked) == [four()[number].uuid for number in numbers]


NUMBERS = st.lists(st.sampled_from([*"01234", "-1", "", " 3", "2x", "none", "99"]), unique_by=lambda x: x.strip()[:1])
UUIDS = st.lists(st.sampled_from(["GPU-5d5ba0d6", "GPU-5d1", "GPU-5d", "GPU-0", "GPU-9", "MIG-0", "1"]), unique=True)


@given(asked=(NUMBERS | UUIDS).map(",".join))
def test_torch_reads_the_variable_in_the_same_way(asked: str):
    gpus = [cuda_devices.CudaDevice(gpu.uuid, gpu) for gpu in four()]
    uuids = [gpu.uuid for gpu in gpus]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", asked)
        patch.setattr(torch.cuda, "_raw_device_count_nvml", lambda: len(uuids))
        patch.setattr(torch.cuda, "_raw_device_uuid_nvml", lambda: uuids)
        count, listed = torch.cuda._device_count_nvml(), torch.cuda._parse_visible_devices()
        if asked.startswith("GPU-"):
            listed = torch.cuda._transform_uuid_to_ordinals([str(name) for name in listed], uuids)
    expected = [] if asked.startswith("MIG-") else [uuids[int(number)] for number in listed[:count]]
    assert [gpu.uuid for gpu in cuda_devices._named(asked, gpus)] == expected


@pytest.mark.parametrize(
    ("asked", "uuids"),
    [
        (None, ["GPU-whole", "MIG-c788539f", "MIG-b4b2228d"]),  # one part of each GPU instance
        ("1", ["MIG-c788539f", "MIG-b4b2228d"]),
        ("2", []),  # in MIG mode, but not divided: CUDA has nothing to show
        ("MIG-b4b2228d", ["MIG-b4b2228d"]),
        ("MIG-b4b2228d,MIG-405bbda1", ["MIG-b4b2228d", "MIG-405bbda1"]),
        ("MIG-GPU-split/1/1", ["MIG-405bbda1"]),  # as drivers before R470 name it
        ("MIG-b4b2228d,MIG-gone,MIG-405bbda1", ["MIG-b4b2228d"]),
        ("MIG-b4b2228d,0", ["MIG-b4b2228d"]),
    ],
)
def test_a_gpu_in_mig_mode_is_shown_as_its_parts(machine: Machine, asked: str | None, uuids: list[str]):
    machine.gpus(with_mig())
    assert machine.shows(asked) == uuids
    assert [devices.lock_key(f"cuda:{index}") for index in range(len(uuids))] == uuids


def test_drivers_before_r570_show_a_single_mig_device_and_no_other_gpu(machine: Machine):
    machine.gpus(with_mig(), driver="535.129.03")
    assert machine.shows(None) == ["MIG-c788539f"]
    assert devices.label("cuda:0") == "A100 MIG 1c.3g.40gb"
    assert machine.shows("0") == ["GPU-whole"]


def test_workers_number_gpus_as_nvml_does_and_are_shared_whatever_order_was_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A worker without a run folder ends at once; what its environment was, it says itself."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    before = warm.inherited()
    assert before["settings"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert warm.inherited() == before
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os\natexit.register(lambda: print(os.environ['CUDA_DEVICE_ORDER']))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, "-m", "unetlab.worker", str(tmp_path / "gone")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "PCI_BUS_ID", done.stderr
