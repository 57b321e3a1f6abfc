"""What an error that ended a job means to the person who started it: memory, disk, a process that is gone."""

import errno

from unetlab.runs import ranks

PROCESS_LOST = (
    "Another process of this training has died or cannot be reached; a lack of memory is often the cause. The log may "
    "say more. It can be resumed from its checkpoint."
)
CONNECTION_LOST = ("gloo", "NCCL", "DistBackendError")  # in what torch raises when another process is gone
# how torch's allocators and oneDNN say that memory ran out: they raise plain RuntimeErrors on a CPU
OUT_OF_MEMORY = (
    "OutOfMemoryError",
    "MemoryError",
    "bad_alloc",
    "can't allocate",
    "could not create a primitive",
    "out of memory",
)


def advice(error: Exception) -> str | None:
    """What happened and what to do, where the user can mend it; None for a bug of ours."""
    text = named(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return "The disk is full. Everything logged so far is kept. Free some space, then start again."
    if any(words in text for words in CONNECTION_LOST):
        return PROCESS_LOST
    if is_out_of_memory(error) and not ranks.is_one_machine():
        return (
            "The memory of a device ran out. On several machines a run does not go on by itself: prepare it once more, "
            "with half of train.batch_size and twice train.accumulate."
        )
    if is_out_of_memory(error):
        return (
            "The memory of the device ran out, with one picture at a time. Choose a smaller image size, base width or "
            "depth, or bf16 precision, and free the memory first if something else uses it."
        )
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether it says, in one of its many ways, that the memory of a device ran out."""
    return any(words in named(error) for words in OUT_OF_MEMORY)


def named(error: Exception) -> str:
    """The error with its kind, on one line."""
    return f"{type(error).__name__}: {error}"
