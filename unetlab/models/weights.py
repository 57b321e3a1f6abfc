"""Networks on disk: `NAME.safetensors` with the weights and a readable `NAME.json` beside it."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from unetlab.errors import RunError
from unetlab.files import read_json, write_json
from unetlab.models.contract import SegmentationModel
from unetlab.models.registry import build_model
from unetlab.options import DataOptions, ModelOptions


class ModelCard(BaseModel):
    """What someone needs to use the weights: architecture, pictures, classes, and where they come from.

    `low` and `high`: intensities that became 0 and 1. `reading`: how mask values became classes.
    `valid`: the scores of exactly these weights on the validation set.
    """

    schema_version: int = 1
    model: ModelOptions
    data: DataOptions
    channels: int
    low: list[float]
    high: list[float]
    classes: list[dict[str, Any]]
    reading: dict[str, Any]
    dataset: str
    content_hash: str
    epoch: int
    valid: dict[str, Any] = {}


def save_weights(model: nn.Module, card: ModelCard, path: Path) -> None:
    """Writes weights and card; a reader finds the old pair or the new one, and on a full disk the old one stays."""
    # contiguous: channels_last weights would be refused, and a file should not depend on the memory layout
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    temporary, temporary_card = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.stem}.json.tmp")
    try:
        # both are on the disk before either is replaced: a failure leaves the old pair whole
        save_file(tensors, temporary)
        write_json(temporary_card, card.model_dump(mode="json"))
        os.replace(temporary, path)
        os.replace(temporary_card, path.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)
        temporary_card.unlink(missing_ok=True)


def write_card(card: ModelCard, path: Path) -> None:
    """Replaces the card beside the weights at `path`."""
    write_json(path.with_suffix(".json"), card.model_dump(mode="json"))


def load_weights(path: Path) -> tuple[SegmentationModel, ModelCard]:
    """The network on the CPU in evaluation mode, and its card. Raises RunError when either is missing or damaged."""
    try:
        card = ModelCard.model_validate(read_json(path.with_suffix(".json")))
        model = build_model(card.model, channels=card.channels, num_classes=len(card.classes))
        model.load_state_dict(load_file(path))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise RunError(f"No usable weights at {path.name}: {error}. Train the run again, or choose another.") from None
    return model.eval(), card
