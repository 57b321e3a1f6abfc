"""The state of training after a step, saved so that it can resume bit for bit: `checkpoint.pt`.

Readable with `torch.load(weights_only=True)`: weights, optimizer, averaged weights, scaler, random state, position.
"""

import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from unetlab.errors import RunError
from unetlab.training import precision
from unetlab.training.learner import Learner, Position

SCHEMA_VERSION = 2  # 1: all kernels and then all other parameters, not by the model's groups
# writing takes a few seconds at most, so never more than 30 s are lost; $UNETLAB_CHECKPOINT_S overrides it
INTERVAL_S = 25.0


def snapshot(learner: Learner) -> dict[str, Any]:
    """Copies on the CPU of all that a step changes: three to four times the size of the weights."""
    average = learner.average
    return {
        "model": _copied(learner.model.state_dict()),
        "optimizer": _copied(learner.optimizer.state_dict()),
        "average": _copied(average.state_dict()) if average else None,
        "scaler": learner.scaler.state_dict(),
        "rng": torch.get_rng_state(),
        "device_rng": _device_rng(learner.device),
    }


def restore(learner: Learner, state: dict[str, Any]) -> None:
    """Restores the learner and torch's random state from a snapshot, bitwise."""
    learner.optimizer.zero_grad()  # frees the gradients first: after an out-of-memory there is room again
    learner.model.load_state_dict(state["model"])
    learner.optimizer.load_state_dict(state["optimizer"])
    if learner.average:
        learner.average.load_state_dict(state["average"])
    # a new scaler: an exception between unscale and update leaves the old one halfway through a step
    learner.scaler = precision.gradient_scaler(learner.precision_name, learner.device)
    if state["scaler"]:
        learner.scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(state["rng"])
    if state["device_rng"] is not None and learner.device.type != "cpu":
        torch.get_device_module(learner.device).set_rng_state(state["device_rng"])


def regrouped(state: dict[str, Any], learner: Learner) -> dict[str, Any]:
    """The optimizer's state of schema 1, in which nothing was frozen, in the order of the learner's groups."""
    parameters = list(learner.model.parameters())
    old_order = [p for p in parameters if p.ndim > 1] + [p for p in parameters if p.ndim <= 1]
    old_place = {id(parameter): place for place, parameter in enumerate(old_order)}
    new_order = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]
    old_places = [old_place[id(parameter)] for parameter in new_order]
    values = {place: state["state"][old] for place, old in enumerate(old_places) if old in state["state"]}
    return {"state": values, "param_groups": learner.optimizer.state_dict()["param_groups"]}


class Checkpointer:
    """Writes checkpoints while training goes on: a step only waits for a copy in memory, and a thread writes it.

    A write that fails, on a full disk or at a kill, leaves the last good checkpoint; `problem` says why it failed.
    """

    def __init__(self, path: Path, learner: Learner) -> None:
        self._path, self._learner = path, learner
        self._thread: threading.Thread | None = None
        self._last = time.monotonic()
        self._interval_s = float(os.environ.get("UNETLAB_CHECKPOINT_S", INTERVAL_S))
        self.step = -1  # of the last one taken
        self.problem = ""

    @property
    def is_due(self) -> bool:
        """Whether the last one is old enough (INTERVAL_S) and written."""
        is_writing = self._thread is not None and self._thread.is_alive()
        return not is_writing and time.monotonic() - self._last >= self._interval_s

    def save(self, position: Position) -> None:
        """Copies the state now and writes it in the background; waits for an earlier write that is not done."""
        self.close()
        content = {"schema_version": SCHEMA_VERSION, "position": asdict(position), **snapshot(self._learner)}
        self._last, self.step = time.monotonic(), position.step
        self._thread = threading.Thread(target=self._write, args=(content,), name="checkpoint")
        self._thread.start()

    def close(self) -> None:
        """Waits until what is being written is on the disk."""
        if self._thread is not None:
            self._thread.join()

    def load(self) -> Position | None:
        """Restores the learner from the checkpoint and returns its position; None without a checkpoint.

        Raises RunError for a damaged file, a newer schema, or one that does not fit the model.
        """
        if not self._path.exists():
            return None
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            if content["schema_version"] > SCHEMA_VERSION:
                raise RunError("The checkpoint was written by a newer unetlab. Update unetlab to resume this run.")
            if content["schema_version"] == 1:
                content["optimizer"] = regrouped(content["optimizer"], self._learner)
            restore(self._learner, content)
            return Position(**content["position"])
        except RunError:
            raise
        except Exception as error:  # torch.load raises whatever the damaged bytes lead to
            raise RunError(
                f"The checkpoint cannot be read ({type(error).__name__}), so the run cannot resume from it. "
                "Delete checkpoint.pt from its folder to resume from the first step; its best weights are kept."
            ) from None

    def _write(self, content: dict[str, Any]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
            self.problem = ""
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            temporary.unlink(missing_ok=True)
            self.problem = str(error)


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _device_rng(device: torch.device) -> torch.Tensor | None:
    return None if device.type == "cpu" else torch.get_device_module(device).get_rng_state()
