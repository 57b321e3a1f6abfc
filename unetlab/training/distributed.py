"""Training on several devices: each process, a rank, takes its rows of every minibatch, and gradients are summed.

Started by torchrun (runs/launching.py). With one process all of it does nothing, so the core loop reads the same.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unetlab.data.dataset import IGNORE
from unetlab.errors import ConfigError
from unetlab.models.contract import SegmentationModel
from unetlab.runs import ranks
from unetlab.training.random_streams import Purpose, stream

# ranks wait while the leader validates or writes; one that died is noticed by torchrun, not by a deadline
PATIENCE = timedelta(days=7)


class Team:
    """The processes of one training run. `rank`: this one's number, 0 leads; `size`: how many there are."""

    def __init__(self, *, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size
        self._network: DistributedDataParallel | None = None

    @property
    def is_leader(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def join(self, model: SegmentationModel) -> nn.Module:
        """The model to be called in training: its gradients become the sum over all ranks."""
        if self.size == 1:
            return model
        ids = None if next(model.parameters()).device.type == "cpu" else [next(model.parameters()).device]
        # it broadcasts the leader's running statistics of BatchNorm, so that all ranks agree on them
        self._network = DistributedDataParallel(model, device_ids=ids)
        self._network.register_comm_hook(None, _summed)
        return self._network

    def parts(self, images: Tensor, masks: Tensor, micro_batch: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's parts of a step's images (B,C,H,W) and masks (B,H,W), at most `micro_batch` pictures each.

        Every rank has equally many; gradients are exchanged with the last. If there are fewer pictures than ranks, a
        rank gets a stand-in in which no pixel counts.
        """
        num_parts = parts_per_rank(len(images), self.size, micro_batch)
        all_parts = zip(self.pieces(images, micro_batch), self.pieces(masks, micro_batch), strict=True)
        for number, (part_images, part_masks) in enumerate(list(all_parts)[self.rank :: self.size]):
            is_last = number == num_parts - 1
            if not len(part_images):
                part_images, part_masks = images[:1], torch.full_like(masks[:1], IGNORE)
            with nullcontext() if is_last or self._network is None else self._network.no_sync():
                yield part_images, part_masks

    def pieces(self, rows: Tensor, micro_batch: int | None) -> tuple[Tensor, ...]:
        """A step's images or masks (B,...) in the parts in which all ranks together take them; some may be empty."""
        return rows.tensor_split(parts_per_rank(len(rows), self.size, micro_batch) * self.size)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks of a number on the device."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def led(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, run by the leader alone, with its answer on every rank; if it raises, the others end."""
        if self.size == 1:
            return function

        def call(*args: Any) -> Any:
            answer: list[Any] = [None, True]
            if self.is_leader:
                try:
                    answer = [function(*args), False]
                except Exception:
                    dist.broadcast_object_list(answer, src=0, device=torch.device("cpu"))
                    raise
            dist.broadcast_object_list(answer, src=0, device=torch.device("cpu"))
            if answer[1]:
                raise SystemExit(0)
            return answer[0]

        return call

    def draw_apart(self, seed: int, step: int) -> None:
        """Gives each rank but the leader random numbers of its own from `step` on: dropout must not repeat itself."""
        if not self.is_leader:
            torch.manual_seed(int(stream(seed, Purpose.DROPOUT, step, self.rank).integers(2**62)))


def parts_per_rank(count: int, size: int, micro_batch: int | None) -> int:
    """How many parts of at most `micro_batch` pictures each of `size` ranks takes of a step of `count`."""
    return math.ceil(count / size / (micro_batch or count))


def smallest_part(count: int, size: int, micro_batch: int | None) -> int:
    """The pictures in the smallest part of a step of `count`: no part has more than one picture more than another."""
    return count // (size * parts_per_rank(count, size, micro_batch))


@contextmanager
def open_team(device: torch.device) -> Iterator[Team]:
    """The team that torchrun's environment names, or a team of one; its connections close at the end."""
    size = ranks.num_processes()
    if size == 1:
        yield Team()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"  # gloo for everything but tensors on a device
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Team(rank=ranks.rank(), size=size)
    finally:
        dist.destroy_process_group()


def with_sync_batchnorm(model: SegmentationModel, device: torch.device) -> SegmentationModel:
    """The model with BatchNorm over the pictures of all ranks. Raises ConfigError on a CPU, where torch has none."""
    if device.type != "cuda":
        raise ConfigError(
            f"SyncBatchNorm works on CUDA devices only; this training is on {device.type}. Leave --sync-batchnorm out: "
            "each process then takes the statistics of its own pictures."
        )
    return cast(SegmentationModel, nn.SyncBatchNorm.convert_sync_batchnorm(model))


def _summed(state: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:  # pyright: ignore[reportPrivateImportUsage]
    """Gradients summed, not averaged as DDP would: each rank's loss is weighted by its share of the pixels already."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None  # async_op gives a handle
    return work.get_future().then(lambda done: done.value()[0])
