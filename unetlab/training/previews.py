"""Previews of a training run: after each epoch, its predictions for the same few validation pictures."""

from collections.abc import Callable

import numpy as np

from unetlab import files
from unetlab.data import drawing
from unetlab.data.dataset import DataSet
from unetlab.events import Preview
from unetlab.runs.store import Run

COUNT = 4


class Previews:
    """previews/epoch_NNN/ of the run folder: N.jpg, the prediction over the picture with the truth outlined, and N.png,
    the predicted class ids. `indices`: the validation pictures, of which up to COUNT are shown, evenly spaced.
    """

    def __init__(self, run: Run, data: DataSet, indices: list[int]):
        self._folder, self._data = run.folder, data
        self.shown = [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, COUNT).round().astype(int))]

    def drawer(self, epoch: int) -> Callable[[int, np.ndarray], None]:
        """A function that draws each shown picture as it is predicted, called with its index and class ids (H,W)."""
        folder = self._folder / f"previews/epoch_{epoch:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        colors = [entry.color for entry in self._data.manifest.classes]

        def draw(index: int, prediction: np.ndarray) -> None:
            if index not in self.shown:
                return
            path, data = folder / str(self.shown.index(index)), self._data
            picture = drawing.overlay(
                data.image(index), prediction, colors, truth=data.mask(index), background=data.background
            )
            files.write_atomic(path.with_suffix(".jpg"), drawing.jpeg(picture), is_durable=False)
            files.write_atomic(path.with_suffix(".png"), drawing.class_ids_png(prediction), is_durable=False)

        return draw

    def event(self, epoch: int) -> Preview:
        """The event that announces the previews of an epoch."""
        names = [self._data.manifest.pairs[index].name for index in self.shown]
        return Preview(epoch=epoch, folder=f"previews/epoch_{epoch:03d}", names=names)
