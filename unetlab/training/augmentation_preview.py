"""Pictures as training augments them, drawn for people: the job `preview`. Always runs on the CPU."""

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from unetlab import files
from unetlab.config import RunConfig
from unetlab.data import drawing, geometry
from unetlab.data.dataset import DataSet, open_dataset
from unetlab.errors import ConfigError
from unetlab.events import Event, Progress
from unetlab.inference.pictures import Pictures
from unetlab.options import PreviewOptions
from unetlab.runs.store import Run
from unetlab.training.batches import TrainingBatches, batch_randomness

SHOWN_PX = 384  # long side of a drawn picture: more is not visible in a grid seven pictures wide


def preview(
    run: Run, config: RunConfig, device: str, *, on_event: Callable[[Event], None], should_stop: Callable[[], bool]
) -> bool:
    """Writes augmented/ROW_COL.jpg, a row per picture, column 0 unchanged, and result.json; True if it was stopped.

    Raises ConfigError for a picture that the data set does not have, and what opening the data set raises.
    """
    options = config.preview
    assert options is not None  # load_config requires it
    data = open_dataset(run.workspace, config.dataset)
    _check(options, data)
    batches = TrainingBatches(
        Pictures(data, config.data),
        batch_size=len(options.indices),
        augment=config.train.augment,
        seed=options.seed,
        device=torch.device("cpu"),
    )
    folder, columns = run.folder / "augmented", options.draws + 1
    folder.mkdir()
    unchanged = [batches.pictures[index] for index in options.indices]
    augmentations = (_to_arrays(batch) for batch in augmented(batches, options))
    for column, pictures in enumerate(chain([unchanged], augmentations)):
        for row, (image, mask) in enumerate(pictures):
            if should_stop():
                return True
            path = folder / f"{row}_{column}.jpg"
            files.write_atomic(path, drawing.jpeg(_drawn(data, image, mask)), is_durable=False)
            on_event(Progress("augmenting", column * len(pictures) + row + 1, columns * len(pictures)))
    names = [data.manifest.pairs[index].name for index in options.indices]
    files.write_json(run.folder / "result.json", {"rows": names, "columns": columns})
    return False


def augmented(batches: TrainingBatches, options: PreviewOptions) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw d of the pictures: images (B,C,H,W) and masks (B,H,W), as if they were the first batch of epoch d."""
    for number in range(options.draws):
        rng, generator = batch_randomness(options.seed, number, 0)
        yield batches.batch(options.indices, rng, generator)


def _to_arrays(batch: tuple[Tensor, Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    images, masks = batch
    return list(zip(images.permute(0, 2, 3, 1).numpy(), masks.to(torch.uint8).numpy(), strict=True))


def _drawn(data: DataSet, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8 (h,w,3), at most SHOWN_PX long."""
    image, mask = geometry.resize(image, mask, geometry.fit_size(mask.shape[0], mask.shape[1], SHOWN_PX))
    colors = [entry.color for entry in data.manifest.classes]
    return drawing.overlay(image, mask, colors, background=data.background)


def _check(options: PreviewOptions, data: DataSet) -> None:
    count = len(data.manifest.pairs)
    for index in options.indices:
        if not 0 <= index < count:
            raise ConfigError(f"There is no picture {index}: '{data.name}' has {count}, counted from 0 to {count - 1}.")
