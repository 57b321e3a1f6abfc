"""The job `evaluate`: kept weights scored on the validation split."""

import time
from functools import partial

import torch

from unetlab import files
from unetlab.config import RunConfig
from unetlab.data.dataset import open_dataset
from unetlab.errors import RunError
from unetlab.events import Progress
from unetlab.inference.evaluation import evaluate
from unetlab.inference.pictures import Pictures
from unetlab.models.weights import load_weights
from unetlab.runs.store import Run, open_run
from unetlab.training import precision, threads
from unetlab.training.artifacts import write_environment, write_evaluation
from unetlab.training.learner import to_device
from unetlab.training.setup import OnEvent, ShouldStop, loss_of


def evaluate_run(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Scores weights of another run on the validation split, with that run's own precision and batch."""
    source = config.weights_from
    if source is None:
        raise RunError("An evaluation needs the run whose weights it scores: python -m unetlab evaluate RUN.")
    model, card = load_weights(open_run(run.workspace, source.run).folder / f"{source.which}.safetensors")
    # as it was when the weights were trained
    data = open_dataset(run.workspace, config.dataset, version=card.content_hash)
    torch_device = precision.open_device(device)
    precision_name = precision.resolve(config.train.precision, torch_device)
    to_device(model, torch_device)
    torch.set_num_threads(threads.known(run, config) or threads.ALL)
    write_environment(run, config, data, torch_device, precision_name)
    evaluate_here = partial(
        evaluate,
        pictures=Pictures(data, card.data),
        indices=data.indices("valid"),
        loss=loss_of(config, data, torch_device).value,
        autocast=partial(precision.autocast, precision_name, torch_device),
        device=torch_device,
        batch_size=run.status.micro_batch or config.train.batch_size,
    )
    began = time.monotonic()
    valid = write_evaluation(
        run, data, evaluate_here, model, lambda done, total: on_event(Progress("scoring", done, total))
    )
    seconds = time.monotonic() - began
    count = len(data.indices("valid"))
    result = {
        "max_lr": config.train.max_lr,
        "highest_lr": None,
        "epochs": card.epoch + 1,  # as best_epoch was called first
        "best_epoch": card.epoch + 1,
        "epochs_trained": 0,
        "steps": 0,
        "seconds": round(seconds, 2),
        "images_per_s": round(count / seconds, 2),
        "valid": valid,
    }
    files.write_json(run.folder / "result.json", result)
    return should_stop()
