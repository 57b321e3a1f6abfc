"""The memory forecast against torch's allocators, torch's own tracker and the process; and the largest batch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import ProfilerActivity, profile

from tests import tiny
from unetlab.config import RunConfig
from unetlab.errors import ConfigError, TrainingError
from unetlab.inference.prediction import predict, predict_logits
from unetlab.models.registry import build_model
from unetlab.runs import devices, store
from unetlab.training import forecast as forecasting
from unetlab.training.augment import augment
from unetlab.training.forecast import MARGIN, Shapes, largest_batch, peak_of
from unetlab.training.learner import Learner
from unetlab.training.losses import make_loss
from unetlab.workspace import own_workspace

SMALL = {"model.base_width": 8, "model.depth": 2, "train.batch_size": 4, "train.precision": "fp32"}
CONFIGS = {
    "as it is": {},
    "wide": {"model.base_width": 32, "train.batch_size": 2},
    "deep": {"model.depth": 4, "train.augment": "none"},
    "larger batch": {"train.batch_size": 12},
    "bf16": {"train.precision": "bf16-mixed", "model.base_width": 16},
    "accumulated": {"train.accumulate": 4, "train.batch_size": 2},
    "accumulated, all weights": {
        "train.accumulate": 2,
        "train.batch_size": 1,
        "model.base_width": 32,
        "model.depth": 3,
    },
    "averaged": {"train.ema": 0.9, "model.base_width": 32, "train.batch_size": 1},
    "clipped, strong augmentation": {"train.clip_norm": 1.0, "train.augment": "strong"},
    "cross-entropy, balanced": {"train.loss": "cross_entropy", "train.class_weights": "balanced"},
    "no skips": {"model.skip": "none"},
}
TINY = Shapes((32, 32), (2, 32, 32), num_samples=6, channels=1, num_classes=2)  # of tests/tiny.py
SIZES = [(64, 64), (100, 60)]


def config_of(changes: dict) -> RunConfig:
    return RunConfig(kind="forecast", dataset="none").changed(SMALL | {"train.device": "cpu"} | changes)


def shapes(size: tuple[int, int] = (64, 64), **changes) -> Shapes:
    return Shapes(
        **({"canvas": size, "validation": (0, 0, 0), "num_samples": 10**6, "channels": 3, "num_classes": 3} | changes)
    )


def train_for_real(config: RunConfig, size: tuple[int, int], device: torch.device) -> None:
    """Two steps as training does them, on tensors with contents."""
    options = config.train
    weights = torch.ones(3, device=device) if options.class_weights == "balanced" else None
    learner = Learner(
        build_model(config.model, channels=3, num_classes=3),
        make_loss(options.loss, weights),
        device=device,
        precision_name=options.precision,
        clip_norm=options.clip_norm,
        micro_batch=options.batch_size,
        ema=options.ema,
    )

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for seed in range(2):
            generator = torch.Generator().manual_seed(seed)
            images = torch.rand(options.pictures_per_step, *size, 3, device=device).permute(0, 3, 1, 2)
            masks = torch.randint(0, 3, (options.pictures_per_step, *size), device=device)
            yield augment(images, masks, options.augment, generator)

    for images, masks in batches():
        learner.train_step(images, masks, 1e-3, 0.9)
        assert not learner.is_skipped


def allocated_peak(act: Callable[[], None]) -> int:
    """Most bytes that torch's CPU allocator had given out at once during `act`, from the profiler's events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        act()
    results: Any = profiled.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize(("name", "size"), [*zip(CONFIGS, cycle(SIZES), strict=False)])
def test_the_forecast_is_within_its_margin_of_what_the_allocator_gave_out(name: str, size: tuple[int, int]):
    config = config_of(CONFIGS[name])
    if config.train.precision == "bf16-mixed" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("without AVX512 torch unfolds pictures for bf16 convolutions; `auto` chooses fp32 there")
    truth = allocated_peak(lambda: train_for_real(config, size, torch.device("cpu")))
    assert peak_of(config, shapes(size)).total() == pytest.approx(truth, rel=MARGIN)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed", "fp16-mixed"])
@pytest.mark.parametrize("size", [(256, 256), (512, 384)])
def test_the_forecast_is_within_its_margin_of_the_peak_on_a_cuda_device(precision: str, size: tuple[int, int]):
    config = config_of({"train.precision": precision, "model.base_width": 32, "model.depth": 4})
    device = torch.device("cuda:0")
    train_for_real(config, (64, 64), device)  # cuBLAS keeps its workspace from the first step on
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    train_for_real(config, size, device)
    truth = torch.cuda.max_memory_allocated(device) - before
    assert peak_of(config, shapes(size)).total() == pytest.approx(truth, rel=MARGIN)


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
def test_the_count_agrees_with_torchs_own_tracker_on_the_same_step(precision: str):
    config = config_of({"train.precision": precision, "train.augment": "none"})
    with torch.device("meta"):
        model = build_model(config.model, channels=3, num_classes=3)
    tracker = MemTracker()
    with FakeTensorMode(allow_non_fake_inputs=True):
        learner = Learner(model, make_loss(config.train.loss), device=torch.device("cpu"), precision_name=precision)
        images, masks = torch.empty(4, 64, 64, 3).permute(0, 3, 1, 2), torch.zeros(4, 64, 64, dtype=torch.int64)
        tracker.track_external(model, learner.optimizer, images, masks)
        with tracker:
            with learner.autocast():
                loss = learner.loss(learner.model(images), masks)
            loss.backward()
        (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    found = peak_of(config, shapes())
    # the tracker saw one step without the optimizer's state, and the second batch was made beside the first
    states_and_batch = 2 * found["weights"] + found["batch"]
    assert found.total() == pytest.approx(snapshot["Total"] + states_and_batch, rel=0.05)


def test_what_is_counted_is_told_by_kind():
    config = config_of({"train.augment": "none", "train.batch_size": 1, "model.base_width": 32, "model.depth": 4})
    model = build_model(config.model, channels=3, num_classes=3)
    weights = 4 * sum(p.numel() for p in model.parameters())
    buffers = sum(b.nbytes for b in model.buffers())
    found = peak_of(config, shapes((32, 32)))
    assert found["weights"] == weights + buffers
    assert found["optimizer"] == pytest.approx(2 * weights, rel=0.001)  # AdamW: two moments, and a counter each
    assert found["gradients"] == pytest.approx(weights, rel=0.1)  # so small a picture peaks where gradients are whole
    assert found["batch"] == 32 * 32 * (3 * 4 + 8)
    averaged = peak_of(config.changed({"train.ema": 0.9}), shapes((32, 32)))
    assert averaged["weights"] == pytest.approx(2 * found["weights"], rel=0.001)


def test_further_accumulated_batches_take_their_pictures_only():
    few, many = (config_of({"train.accumulate": n, "train.augment": "none"}) for n in (200, 400))
    grown = peak_of(many, shapes()).total() - peak_of(few, shapes()).total()
    one = 64 * 64 * (3 * 4 + 8)  # picture and mask, twice: the next step's pictures are made beside this one's
    assert grown == pytest.approx(2 * 200 * 4 * one, rel=0.01)


def test_a_batch_is_never_larger_than_the_training_split():
    small, large = (config_of({"train.batch_size": n}) for n in (6, 1000))
    assert peak_of(large, shapes(num_samples=6)) == peak_of(small, shapes(num_samples=6))


def test_whole_pictures_in_validation_count_where_they_take_more_than_a_step():
    config = config_of({"data.size_mode": "crop"})
    without, few = peak_of(config, shapes()), peak_of(config, shapes(validation=(1, 64, 64)))
    assert few == without
    found = peak_of(config, shapes(validation=(9, 512, 512))).total()
    model = build_model(config.model, channels=3, num_classes=3).eval()

    def validate() -> None:
        with torch.inference_mode():
            predict_logits(model, torch.rand(4, 512, 512, 3).permute(0, 3, 1, 2), whole_pixels=512**2)

    masks = 4 * 512 * 512 * 8
    assert found > 2 * without.total()
    assert found == pytest.approx(allocated_peak(validate) + masks, rel=MARGIN)


def test_logits_scaled_to_the_size_of_large_masks_count():
    config = config_of({"data.image_size": 32})
    small, original = shapes((32, 32), validation=(4, 32, 32)), (1500, 1100)
    assert peak_of(config, replace(small, original=(32, 32))) == peak_of(config, small)
    found = peak_of(config, replace(small, original=original)).total()
    model = build_model(config.model, channels=3, num_classes=3).eval()

    def validate() -> None:
        for prediction in predict(model, torch.rand(4, 3, 32, 32), whole_pixels=32**2, autocast=nullcontext):
            prediction.class_ids(original)

    assert found > 2 * peak_of(config, small).total()
    assert found == pytest.approx(allocated_peak(validate), rel=MARGIN)


def test_what_earlier_jobs_left_in_the_process_does_not_count(tiny_set: Path):
    forecasting.size_with_torch.cache_clear()
    before = run_forecast({})
    left = b"x" * 200_000_000
    after = run_forecast({})
    assert after["outside"] == before["outside"], len(left)


def test_a_forecast_of_terabytes_takes_next_to_nothing():
    peak_of(config_of({}), shapes())  # what torch imports at a first fake tensor
    before = psutil.Process().memory_info().rss
    huge = config_of({"model.base_width": 256, "model.depth": 4, "train.batch_size": 64})
    assert peak_of(huge, shapes((4096, 4096))).total() > 10e12
    assert psutil.Process().memory_info().rss - before < 60e6


@pytest.mark.parametrize("start", [1, 8, 1024])
@pytest.mark.parametrize(
    ("needs", "largest"),
    [
        (lambda n: 100 + 10 * n, 90),
        (lambda n: max(900, 20 * n), 50),
        (lambda n: 990 + n, 10),
        (lambda n: 2000, 0),
        (lambda n: 5, 1024),
        (lambda n: n * n, 31),
        (lambda n: 500 if n < 77 else 5000, 76),
        (lambda n: 995 + 10 * n, 0),
    ],
)
def test_the_largest_batch_is_the_last_that_fits_and_found_with_few_questions(needs, largest: int, start: int):
    asked: list[int] = []
    found = largest_batch(lambda n: asked.append(n) or needs(n), 1000, start=start)
    assert found == largest
    assert found == max((n for n in range(1, 1025) if needs(n) <= 1000), default=0)
    assert len(asked) == len(set(asked)) <= 24


def test_memory_that_grows_in_a_straight_line_is_asked_four_times():
    asked: list[int] = []
    largest_batch(lambda n: asked.append(n) or 123 + 17 * n, 1000, start=8)
    assert len(asked) <= 4
    assert {51, 52} <= set(asked)


def test_a_batch_of_one_that_could_not_train_is_not_offered():
    assert largest_batch(lambda n: 10 * n, 15, start=4, smallest=2) == 0
    assert largest_batch(lambda n: 10 * n, 25, start=4, smallest=2) == 2


def run_forecast(changes: dict) -> dict:
    config = tiny.config("forecast", changes)
    run = store.create_run(own_workspace(), config)
    forecasting.forecast(run, config, "cpu", on_event=lambda event: None, should_stop=lambda: False)
    return run.read("result.json")


def test_the_result_says_what_it_needs_of_what_and_the_largest_batch(tiny_set: Path):
    found = run_forecast({})
    assert found["bytes"] == sum(found["by"].values())
    assert found["needs"] == round(found["bytes"] * 1.15) + found["outside"]
    assert (found["device"], found["batch_size"], found["margin"]) == ("cpu", 3, 0.15)
    assert found["outside"] > 100e6  # a process with torch in it
    assert found["needs"] < found["free"] <= found["total"]
    assert found["largest_batch"] == 1024  # no batch is larger than the split of a few pictures


def test_where_it_does_not_fit_the_largest_batch_is_the_one_that_just_does(tiny_set: Path, monkeypatch):
    two = peak_of(tiny.config("forecast", {"train.batch_size": 2}), TINY).total()
    room = devices.Memory("cpu", "RAM", 3 * two, 2 * two + 500, 500)  # 500 bytes are ours, and count as free
    monkeypatch.setattr(forecasting, "memory_of", lambda workspace, device: room)
    monkeypatch.setattr(forecasting, "needs_of", lambda peak, *rest: {"needs": peak.total()})
    found = run_forecast({"train.batch_size": 5})
    assert (found["free"], found["total"]) == (two, 3 * two)
    assert found["needs"] > found["free"]
    assert found["largest_batch"] == 2


def test_on_a_cuda_device_the_context_counts_and_the_ram_does_not(tiny_set: Path):
    peak = peak_of(config_of({}), shapes())
    told = forecasting.needs_of(peak, shapes(kept_bytes=10**9), "cuda:0", 10**9)
    assert told["outside"] == forecasting.CUDA_CONTEXT_BYTES
    on_cpu = forecasting.needs_of(peak, shapes(kept_bytes=10**9), "cpu", 10**9)
    assert on_cpu["outside"] > 2e9 + peak["weights"] + peak["optimizer"]


def test_what_could_not_train_is_refused_with_the_words_of_training(tiny_set: Path):
    with pytest.raises(ConfigError, match="Use a batch size of 2 or more"):
        run_forecast({"train.batch_size": 1, "model.depth": 5, "data.image_size": 32})


def test_a_torch_whose_private_parts_have_changed_is_answered_in_words(monkeypatch: pytest.MonkeyPatch):
    from unetlab.training import memory_tape

    def changed(**options: object) -> None:
        raise TypeError("unexpected keyword")

    monkeypatch.setattr(memory_tape, "FakeTensorMode", changed)
    with pytest.raises(TrainingError, match=r"cannot be forecast with this torch .*TypeError: unexpected keyword"):
        peak_of(config_of({}), shapes())


def test_a_torch_without_them_still_trains_and_says_what_it_cannot(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "unetlab.training.memory_tape", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils._python_dispatch", None)
    train_for_real(config_of({}), (32, 32), torch.device("cpu"))
    with pytest.raises(TrainingError, match="cannot be forecast with this torch"):
        peak_of(config_of({}), shapes())


def test_shapes_are_those_of_the_training_batches(make_batches):
    found = forecasting.shapes_of(make_batches(image_size=24))
    assert found.canvas == (24, 24)
    assert (found.num_samples, found.channels, found.num_classes) == (8, 1, 2)
    assert found.validation in [(2, 24, 24), (2, 24, 20), (1, 24, 24)]  # two of one size, or the larger of two sizes
    assert found.kept_bytes == pytest.approx(10 * 24 * 22 * 5, rel=0.1)
    assert found.original == (48, 48), "the largest validation mask, as it is kept"
    assert forecasting.shapes_of(make_batches(image_size=24, size_mode="crop")).validation[1] == 48
