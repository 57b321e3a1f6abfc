"""Devices and their memory, as this machine has them, with or without a GPU."""

import json
import subprocess
import sys

import psutil
import pytest

from tests.tiny import ROOT
from unetlab.runs import devices


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:0", "cuda:7"])
def test_a_device_that_is_named_is_taken(device: str):
    assert devices.resolve(device) == device


def test_cuda_is_the_first_gpu():
    assert devices.resolve("cuda") == "cuda:0"


def test_auto_is_the_gpu_where_there_is_one():
    assert devices.resolve("auto").startswith("cuda") == devices.has_gpu()
    if not devices.has_gpu() and sys.platform == "linux":
        assert devices.resolve("auto") == "cpu"


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:0", "cuda:63"])
def test_the_name_of_a_lock_is_a_file_name_and_always_the_same(device: str):
    key = devices.lock_key(device)
    assert key
    assert not set(key) & set("/\\: ")
    assert devices.lock_key(device) == key


def test_two_devices_never_share_a_lock():
    keys = [devices.lock_key(device) for device in ("cpu", "mps", "cuda:0", "cuda:1", "cuda:63")]
    assert len(set(keys)) == len(keys)


def test_a_device_has_a_name_for_people():
    assert "CPU" in devices.label("cpu") or "core" in devices.label("cpu")
    assert devices.label("mps") == "Apple GPU"
    assert devices.label(devices.resolve("auto"))


def test_the_numbers_of_the_memory_add_up():
    for memory in devices.read_memory([psutil.Process().pid]):
        assert 0 < memory.used <= memory.total
        assert memory.ours is None or 0 <= memory.ours <= memory.used


def test_memory_is_that_of_the_machine_where_there_is_no_gpu():
    if devices.has_gpu():
        assert devices.read_memory([])[0].device == "cuda:0"
        return
    (ram,) = devices.read_memory([])
    assert (ram.device, ram.label, ram.total, ram.ours) == ("cpu", "RAM", psutil.virtual_memory().total, 0)


def test_ours_is_the_sum_over_our_workers():
    own = psutil.Process().pid
    code = "import sys; block = bytearray(80 * 2**20); print('there', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        try:
            assert other.stdout.readline() == "there\n"
            assert devices.resident_bytes(other.pid) > 80 * 2**20
            if not devices.has_gpu():
                alone, both = devices.read_memory([own])[0].ours, devices.read_memory([own, other.pid])[0].ours
                assert both - alone > 60 * 2**20
        finally:
            other.kill()
    assert devices.resident_bytes(other.pid) == 0
    assert devices.gpu_bytes(other.pid) is None


def test_the_precision_that_the_form_names_fits_the_device():
    assert devices.likely_precision("fp32", "cuda:0") == "fp32"
    assert devices.likely_precision("auto", "cuda:0") == "bf16-mixed"
    assert devices.likely_precision("auto", "cpu") == ("bf16-mixed" if devices.cpu_has_fast_bf16() else "fp32")
    assert devices.likely_precision("auto", "mps") == "fp32"


def test_reading_devices_takes_neither_torch_nor_a_context_on_the_gpu():
    code = (
        "import json, os, sys\nfrom unetlab.runs import devices\n"
        "devices.resolve('auto'), devices.label('auto'), devices.read_memory([os.getpid()])\n"
        "print(json.dumps(['torch' in sys.modules, devices.gpu_bytes(os.getpid())]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, None]


@pytest.mark.parametrize(("gpus", "own"), [(0, ["auto", "cpu"]), (2, ["auto", "cuda:0", "cuda:1", "cpu"])])
def test_a_form_offers_auto_and_the_devices_that_are_here(monkeypatch, gpus: int, own: list[str]):
    monkeypatch.setattr(devices.cuda_devices, "visible", lambda: [object()] * gpus)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    assert devices.offered() == own


def test_a_form_offers_apples_gpu_on_a_mac(monkeypatch):
    monkeypatch.setattr(devices.cuda_devices, "visible", list)
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert devices.offered() == ["auto", "mps", "cpu"]
