"""Mixed precision: which one a device computes fast, its autocast context and its gradient scaler."""

from contextlib import AbstractContextManager

import torch

from unetlab.errors import DeviceError
from unetlab.runs.devices import cpu_has_fast_bf16

DTYPES = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}


def open_device(name: str) -> torch.device:
    """The torch device, checked to exist. Raises DeviceError saying what there is."""
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{name} was asked for; torch sees {torch.cuda.device_count()} CUDA device(s). Choose device auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("mps was asked for; this machine has no Metal device. Choose device auto or cpu.")
    return device


def resolve(precision: str, device: torch.device) -> str:
    """`auto` as what it means here: bf16 where the device computes it fast, else fp16 on a GPU, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16-mixed"
    return "bf16-mixed" if device.type == "cpu" and cpu_has_fast_bf16() else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The context for forward and loss; the weights stay fp32."""
    if precision == "fp32":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=DTYPES[precision])


def gradient_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss for fp16, whose small gradients vanish; passes everything through otherwise."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16-mixed")
