"""The processes of one job on several devices, as torchrun numbers them in the environment. No torch.

Rank 0 leads: it waits for the turn, holds the devices' locks and writes all that the run folder gets.
"""

import os
import sys

import psutil

# what torchrun tells its processes; a job that one of them starts is no part of the same team
VARIABLES = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT")
PREFIXES = ("TORCHELASTIC_",)
SUFFIXES = ("WORLD_SIZE",)


def rank() -> int:
    """This process' number in its job, over all machines; 0 for the leader and for a job of one process."""
    return int(os.environ.get("RANK", 0))


def num_processes() -> int:
    """How many processes work on the job, over all machines."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_one_machine() -> bool:
    """Whether all processes of the job are on this machine, so that one can start them anew."""
    return num_processes() == int(os.environ.get("LOCAL_WORLD_SIZE", num_processes()))


def own_device(device: str) -> str:
    """The device of this process: of CUDA's, each process of a machine has its own; a CPU is shared."""
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    return f"cuda:{local_rank}" if device.startswith("cuda") and num_processes() > 1 else device


def devices_here(device: str) -> list[str]:
    """All devices that the job takes on this machine: those to be locked."""
    count = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return [f"cuda:{index}" for index in range(count)] if device.startswith("cuda") and count > 1 else [device]


def environment() -> dict[str, str]:
    """This process' environment without what torchrun told it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not (name in VARIABLES or name.startswith(PREFIXES) or name.endswith(SUFFIXES))
    }


def end_others(*, wait_s: float) -> None:
    """Kills the other processes of the job on this machine, and waits so long until they have let go of their memory.

    The launcher sees that and ends too; it terminates this process, and kills it 30 s later.
    """
    launcher = psutil.Process().parent()
    if num_processes() == 1 or launcher is None:
        return
    others = [process for process in launcher.children() if process.pid != os.getpid() and _is_worker(process)]
    for process in others:
        process.kill()
    psutil.wait_procs(others, timeout=wait_s)


def _is_worker(process: psutil.Process) -> bool:
    """Whether it does the same job, by its command line: whoever starts processes by hand has other children too."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return "unetlab.worker" in command and command[-1] == sys.argv[-1]
