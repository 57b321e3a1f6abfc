"""Bytes of tensors counted without the tensors: everything that is used of torch's private parts for it.

FakeTensorMode and TorchDispatchMode are no stable interface, so each use of them stands in here and fails in words.
Why not torch's own memory tracker: docs/decisions/0010-forecast.md.
"""

import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unetlab.errors import TrainingError, UnetlabError

try:
    from torch._subclasses import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
except ImportError as error:
    raise TrainingError(f"The memory cannot be forecast with this torch ({torch.__version__}): {error}.") from None


class Tape(TorchDispatchMode):
    """Bytes in the storages that tensors made under this mode keep alive: `peak`, in all, and `by` kind at that moment.

    What depends on contents is answered for the worst case: every pixel counts, every number is a finite 0, every
    question a yes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[int, tuple[str, int]] = {}
        self._now: Counter[str] = Counter()
        self.by: Counter[str] = Counter()

    @property
    def peak(self) -> int:
        """The largest number of bytes alive at once so far."""
        return self.by.total()

    def mark(self, kind: str, tensors: Any) -> None:
        """Counts the storages of `tensors`, in any nesting, as `kind` from now on."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                self._count(kind, tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return True if args[0].dtype == torch.bool else 0.0 if args[0].is_floating_point() else 0
        if func is torch.ops.aten.index.Tensor and args[1][0].dtype == torch.bool:
            places = args[1][0].new_empty((args[1][0].ndim, args[1][0].numel()), dtype=torch.int64)
            self._count("activations", places)
            args = (args[0], list(places))
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._kinds:
                self._count("activations", tensor)
        if self._now.total() > self.peak:
            self.by = self._now.copy()
        return made

    def _count(self, kind: str, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._kinds:
            before, size = self._kinds[storage._cdata]
            self._now[before] -= size
        else:
            size = storage.nbytes()
            weakref.finalize(storage, self._forget, storage._cdata)
        self._kinds[storage._cdata] = (kind, size)
        self._now[kind] += size

    def _forget(self, key: int) -> None:
        kind, size = self._kinds.pop(key)
        self._now[kind] -= size


@contextmanager
def on_fake_tensors() -> Iterator[Tape]:
    """A tape under which no tensor has contents. Raises TrainingError where torch's private parts have changed."""
    try:
        with warnings.catch_warnings():
            # AveragedModel copies the model, and copying asks for the address
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
            # non-fake: the model comes from the meta device, as Module.to refuses to move fake parameters
            with FakeTensorMode(allow_non_fake_inputs=True), Tape() as tape:
                yield tape
    except UnetlabError:
        raise
    except Exception as error:
        raise TrainingError(
            f"The memory cannot be forecast with this torch ({torch.__version__}): {type(error).__name__}: {error}. "
            "The training itself is not affected; start it with a small batch and watch the memory."
        ) from error
