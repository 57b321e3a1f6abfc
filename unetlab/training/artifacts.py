"""What jobs leave in a run folder: environment, curves, evaluations, the card beside the weights."""

import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from unetlab import files, lr_curve
from unetlab.config import RunConfig
from unetlab.data import drawing
from unetlab.data.dataset import DataSet
from unetlab.events import Epoch
from unetlab.inference.evaluation import Evaluation, majority_share
from unetlab.models.weights import ModelCard
from unetlab.runs.store import Run
from unetlab.training.lr_finder import Sweep

RESULT_VERSION = 3  # raised whenever the same config gives other losses; a resume across versions says so
SCORES = ("mean_dice", "mean_iou", "pixel_accuracy", "dice", "iou")


def write_environment(
    run: Run,
    config: RunConfig,
    data: DataSet,
    device: torch.device,
    precision_name: str,
    *,
    lr_scales: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Writes and returns what a repeat of this run must share: versions, device, threads, seed, the data's hash.

    `lr_from`: the rate that was read from a sweep. `result_version`: RESULT_VERSION at that time. `lr_scales`: for
    each group of layers its share of the rate in the events; None if nothing is trained.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    environment: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": str(device),
        "device_name": name,
        "precision": precision_name,
        "threads": torch.get_num_threads(),
        "seed": config.train.seed,
        "content_hash": data.manifest.content_hash,
        "result_version": RESULT_VERSION,
        "lr_from": config.lr_from.model_dump() if config.lr_from else None,
    }
    if lr_scales is not None:
        environment["lr_scales"] = lr_scales
    files.write_json(run.folder / "environment.json", environment)
    return environment


def write_lr_curve(run: Run, sweeps: list[Sweep]) -> None:
    """lr_curve.json: every sweep, the picks and refusals of their mean curves, the spread over sweeps.

    `intervals`: of a single sweep, where another one's picks are to be expected.
    """
    picks = lr_curve.picks(*mean_curve(sweeps, lambda sweep: sweep.smoothed_losses))
    picks |= lr_curve.picks_without_lag(*mean_curve(sweeps, lambda sweep: sweep.centred_losses))
    content = {
        "sweeps": [
            {
                "lrs": sweep.lrs,
                "losses": _finite(sweep.losses),
                "smoothed_losses": _finite(sweep.smoothed_losses),
                "centred_losses": _finite(sweep.centred_losses),
            }
            for sweep in sweeps
        ],
        "picks": {name: asdict(p) if isinstance(p, lr_curve.Pick) else None for name, p in picks.items()},
        "declined": {name: pick.reason for name, pick in picks.items() if isinstance(pick, lr_curve.Declined)},
        "preference": list(lr_curve.PREFERENCE),
        "cautions": _cautions(sweeps, picks),
        "intervals": lr_curve.intervals(sweeps[0].lrs, sweeps[0].losses) if len(sweeps) == 1 else {},
        "spread": lr_curve.spread([(sweep.lrs, sweep.losses) for sweep in sweeps]),
    }
    files.write_json(run.folder / "lr_curve.json", content)


def _cautions(sweeps: list[Sweep], picks: dict[str, lr_curve.Pick | lr_curve.Declined]) -> dict[str, str]:
    found, (lrs, losses) = {}, mean_curve(sweeps, lambda sweep: sweep.losses)
    for name, pick in picks.items():
        if isinstance(pick, lr_curve.Pick) and (text := lr_curve.caution(lrs, losses, pick.lr)):
            found[name] = text
    return found


def mean_curve(sweeps: list[Sweep], curve: Callable[[Sweep], list[float]]) -> tuple[list[float], list[float]]:
    """(lrs, mean of the sweeps' curves) over as many steps as the longest sweep has; a single one is its own mean.

    A sweep that ended before keeps its last finite loss: it then moves neither the slope nor the lowest point.
    """
    longest = max(sweeps, key=lambda sweep: len(sweep.lrs), default=Sweep())
    if len(sweeps) < 2:
        return longest.lrs, curve(longest)
    rows = [_held(curve(sweep), len(longest.lrs)) for sweep in sweeps if np.isfinite(sweep.losses[0])]
    return longest.lrs, np.mean(rows or [curve(longest)], axis=0).tolist()


def _held(losses: list[float], length: int) -> list[float]:
    """`length` losses: each that is missing or not finite is the one before it; the first is finite."""
    held = []
    for step in range(length):
        held.append(losses[step] if step < len(losses) and np.isfinite(losses[step]) else held[-1])
    return held


def write_evaluation(
    run: Run,
    data: DataSet,
    evaluate_here: Callable[..., Evaluation],
    model: torch.nn.Module,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """evaluation.json and every prediction as predictions/INDEX.png; returns the pooled scores with the loss."""
    folder = run.folder / "predictions"
    folder.mkdir(exist_ok=True)

    def keep(index: int, prediction: np.ndarray) -> None:
        files.write_atomic(folder / f"{index}.png", drawing.class_ids_png(prediction), is_durable=False)

    evaluation = evaluate_here(model, on_prediction=keep, on_progress=on_progress)
    valid = {"loss": evaluation.loss, **evaluation.scores.as_dict()}
    pairs = data.manifest.pairs
    pictures = [
        {
            "index": index,
            "name": pairs[index].name,
            "file": f"predictions/{index}.png",
            **scores.as_dict(),
        }
        for index, scores in evaluation.per_picture.items()
    ]
    content = {
        "valid": valid,
        "majority_share": majority_share(evaluation.confusion),
        "confusion": evaluation.confusion.tolist(),
        "class_names": data.class_names,
        "pictures": pictures,
    }
    files.write_json(run.folder / "evaluation.json", content)
    ranked = sorted(pictures, key=lambda picture: (picture["mean_dice"] is None, picture["mean_dice"]))
    worst = min((picture["index"] for picture in ranked), key=data.is_empty)  # the first that shows something
    write_overlay(data, worst, folder / f"{worst}.png", run.folder / "overlay.jpg")
    return valid


def write_overlay(data: DataSet, index: int, prediction_path: Path, path: Path) -> None:
    """One picture beside its truth, its prediction and the errors, as a JPEG."""
    image, truth = data.image(index), data.mask(index)
    with Image.open(prediction_path) as file:
        prediction = np.asarray(file)
    colors = [entry.color for entry in data.manifest.classes]
    parts = [
        drawing.to_rgb(image),
        drawing.overlay(image, truth, colors, background=data.background),
        drawing.overlay(image, prediction, colors, background=data.background),
        drawing.error_map(image, prediction, truth, background=data.background),
    ]
    files.write_atomic(path, drawing.jpeg(drawing.tiled([parts]), quality=92), is_durable=False)


def card_of(config: RunConfig, data: DataSet, epoch: int, *, valid: dict[str, Any] | None = None) -> ModelCard:
    """The card that goes beside weights of this run after `epoch`."""
    manifest = data.manifest
    return ModelCard(
        model=config.model,
        data=config.data,
        channels=data.channels,
        low=manifest.low,
        high=manifest.high,
        classes=[entry.model_dump(mode="json") for entry in manifest.classes],
        reading=data.reading.model_dump(mode="json"),
        dataset=manifest.name,
        content_hash=manifest.content_hash,
        epoch=epoch,
        valid=valid or {},
    )


def valid_scores(event: Epoch) -> dict[str, Any]:
    """The scores of an epoch event as the card and `--json` show them."""
    return {"loss": event.valid_loss, **{name: getattr(event, name) for name in SCORES}}


def _finite(losses: list[float]) -> list[float | None]:
    return [loss if np.isfinite(loss) else None for loss in losses]
