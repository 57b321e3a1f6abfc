"""BatchNorm's statistics for the network that is scored. Oracles: torch's update_bn, and means taken by hand."""

import copy
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from tests import tiny
from tests.toy import Toy
from tests.training.test_learner import of_type
from tests.training.test_train_job import trained_here
from unetlab.events import Batch, Epoch
from unetlab.inference.evaluation import Evaluation
from unetlab.models.unet import UNet
from unetlab.models.weights import load_weights
from unetlab.runs.status import Paused
from unetlab.runs.store import create_run, list_runs
from unetlab.training import norm_statistics, train_job
from unetlab.training.batches import Purpose, TrainingBatches, batch_randomness
from unetlab.training.checkpoint import restore, snapshot
from unetlab.training.train_job import train
from unetlab.workspace import own_workspace

CPU = torch.device("cpu")


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers() if "num_batches" not in name}


def are_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def trained(make_learner, make_batches, *, steps: int = 3, **options):
    """A learner after a few steps at a high rate, and its batches."""
    learner, batches = make_learner(**options), make_batches(augment="standard")
    for number in range(steps):
        for images, masks in batches.epoch(number):
            learner.train_step(images, masks, 0.05, 0.9)
    return learner, batches


def never() -> Iterator[Tensor]:
    pytest.fail("pictures were asked for")
    yield  # pyright: ignore[reportUnreachable]


def test_a_twin_has_the_same_weights_and_statistics_of_its_own(make_learner, make_batches):
    learner, batches = trained(make_learner, make_batches)
    model, scored = learner.model, learner.scored_model
    assert all(a is b for a, b in zip(model.parameters(), scored.parameters(), strict=True))
    running = buffers(model)
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    assert are_equal(running, buffers(model)), "training keeps its own"
    assert not are_equal(running, buffers(scored))
    learner.take_statistics()
    assert are_equal(running, buffers(scored)), "the old way: the running ones"


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_checkpoint_within_a_validation_holds_the_running_statistics(make_learner, make_batches, ema):
    learner, batches = trained(make_learner, make_batches, ema=ema)
    before = snapshot(learner)
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    after = snapshot(learner)
    for part in ("model", "average") if ema else ("model",):
        assert are_equal(before[part], after[part])
    other = make_learner(seed=5, ema=ema)
    restore(other, after)
    other.take_statistics()
    assert are_equal(buffers(other.scored_model), buffers(learner.kept_model))
    other.take_statistics(batches.for_statistics(0, 2, 4))
    assert are_equal(buffers(other.scored_model), buffers(learner.scored_model))


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_statistics_are_those_of_torchs_update_bn_for_the_weights_that_are_scored(make_learner, make_batches, ema):
    learner, batches = trained(make_learner, make_batches, ema=ema)
    found = list(batches.for_statistics(3, 2, 4))
    expected = copy.deepcopy(learner.kept_model)
    kept = buffers(learner.kept_model)
    update_bn([images for images, _ in found], expected)
    learner.take_statistics(found)
    for name, tensor in buffers(expected).items():
        torch.testing.assert_close(buffers(learner.scored_model)[name], tensor, rtol=1e-5, atol=1e-6)
    assert are_equal(kept, buffers(learner.kept_model)), "the average's own buffers go on as they were"
    assert not learner.scored_model.training


@pytest.mark.parametrize("before", [1e6, math.nan])
def test_what_the_statistics_were_before_leaves_no_trace(make_learner, make_batches, before):
    learner, batches = trained(make_learner, make_batches)
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    first = buffers(learner.scored_model)
    for name, buffer in learner.model.named_buffers():
        if "running" in name:
            buffer.fill_(before)
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    assert are_equal(first, buffers(learner.scored_model))


def test_every_picture_counts_the_same_in_parts_of_different_size():
    model = Toy()
    parts = [torch.rand(count, 1, 16, 16) + count for count in (3, 1, 2)]
    norm_statistics.estimate(model, parts)
    before = model.stem[0]
    with torch.no_grad():
        means = torch.stack([before(part).mean((0, 2, 3)) * len(part) for part in parts]).sum(0) / 6
        variances = torch.stack([before(part).var((0, 2, 3)) * len(part) for part in parts]).sum(0) / 6
    torch.testing.assert_close(model.stem[1].running_mean, means)
    torch.testing.assert_close(model.stem[1].running_var, variances)
    assert model.stem[1].momentum == 0.1


def test_dropout_is_off_and_no_random_number_is_drawn(make_learner, make_batches):
    learner, batches = trained(make_learner, make_batches, dropout=0.9)
    state = torch.get_rng_state()
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    assert torch.equal(state, torch.get_rng_state())
    first = buffers(learner.scored_model)
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    assert are_equal(first, buffers(learner.scored_model))


@pytest.mark.parametrize("norm", ["hold", "train"])
def test_frozen_layers_that_are_held_keep_theirs(norm):
    model = Toy()
    model(torch.rand(4, 1, 16, 16))
    model.freeze_encoder(norm=norm)
    before = buffers(model)
    norm_statistics.estimate(model, [torch.rand(4, 1, 16, 16) + 5])
    after = buffers(model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    of_norms = {name for name in before if "running" in name}
    assert moved == (set() if norm == "hold" else of_norms)


def test_a_network_without_batchnorm_asks_for_no_pictures():
    model = UNet(1, 2, base_width=4, depth=2, norm="group")
    before = buffers(model)
    norm_statistics.estimate(model, never())
    assert are_equal(before, buffers(model))
    assert not model.training


def test_pictures_go_through_as_many_at_a_time_as_in_a_step(make_learner, make_batches):
    learner, sizes = make_learner(micro_batch=3), []
    learner.scored_model.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    learner.take_statistics(make_batches().for_statistics(0, 1, 8))
    assert sizes == [3, 3, 2]


def test_a_synchronised_norm_is_estimated_by_one_process_alone():
    """With several devices a SyncBatchNorm would wait for the others."""
    plain, images = UNet(1, 2, base_width=4, depth=2), [torch.rand(2, 1, 16, 16) for _ in range(2)]
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    for mean in (buffer for name, buffer in synced.named_buffers() if name.endswith("running_mean")):
        mean.fill_(3)
    scored = norm_statistics.twin(synced)  # pyright: ignore[reportArgumentType]
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in scored.modules())
    assert list(scored.state_dict()) == list(plain.state_dict())
    assert are_equal(buffers(scored), buffers(synced)), "taken over, not made anew: they may lie on a GPU"
    norm_statistics.copy_buffers(synced, scored)  # pyright: ignore[reportArgumentType]
    fresh = buffers(synced)
    norm_statistics.estimate(scored, images)
    norm_statistics.estimate(plain, images)
    assert are_equal(buffers(plain), buffers(scored))
    assert are_equal(fresh, buffers(synced))
    assert all(a is b for a, b in zip(synced.parameters(), scored.parameters(), strict=True))


def drawn(batches: TrainingBatches, epoch: int, count: int = 2, size: int = 3) -> list[Tensor]:
    return [images for images, _ in batches.for_statistics(epoch, count, size)]


def test_the_pictures_are_a_function_of_seed_and_epoch_apart_from_those_of_training(make_batches):
    batches, again = make_batches(augment="standard"), make_batches(augment="standard")
    list(again.epoch(0))
    first = drawn(batches, 0)
    assert [len(images) for images in first] == [3, 3]
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(again, 0), strict=True))
    others = [drawn(batches, 1), drawn(make_batches(augment="standard", seed=1), 0)]
    assert not any(torch.equal(first[0], other[0]) for other in others)
    trained_on = [images for images, _ in batches.epoch(0)]
    assert not torch.equal(drawn(batches, 0, size=len(trained_on[0]))[0], trained_on[0])


def test_a_set_with_fewer_pictures_gives_fewer_batches(make_batches):
    sizes = [[len(images) for images in drawn(make_batches(), 0, count, size)] for count, size in ((5, 3), (1, 50))]
    assert sizes == [[3, 3], [8]]


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "num_validated", "count"),
    [(29, 8, 7, 1), (29, 8, 17, 2), (24, 8, 96, 4), (312, 8, 8, 3), (320, 8, 8, 4), (10_000, 8, 2_000, 4),
     (29, 1, 7, 8),
     (29, 1, 100, 32), (39, 1, 7, 8), (40, 1, 7, 4), (400, 1, 7, 32), (40, 3, 10, 3), (1000, 64, 7, 1)],
)  # fmt: skip
def test_how_many_batches_are_taken(num_samples: int, batch_size: int, num_validated: int, count: int):
    assert norm_statistics.num_batches(num_samples, batch_size, num_validated=num_validated) == count


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("num_validated", [1, 30, 1000])
def test_they_are_a_tenth_of_a_long_epoch_and_no_more_than_the_validation_of_a_short_one(batch_size, num_validated):
    for num_samples in range(2, 100 * batch_size, 7):
        found = norm_statistics.num_batches(num_samples, batch_size, num_validated=num_validated)
        shown = found * batch_size
        is_long = num_samples >= 40 * batch_size
        least = max(norm_statistics.LEAST_PICTURES, batch_size) + batch_size - 1
        if is_long:
            assert batch_size * 4 <= shown <= num_samples / 10
        else:
            assert min(batch_size, 8) <= shown <= max(least, num_samples / 10, num_validated)


WAYS = ("running", "reestimated", "both")
FAST = {"train.epochs": 4, "train.max_lr": 0.05, "train.batch_size": 2}


@pytest.fixture(scope="module")
def three_ways(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None):
    """The same training with each kind of statistics."""
    home = tmp_path_factory.mktemp("three-ways") / "home"
    shutil.copytree(tiny_home / "datasets", home / "datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNETLAB_HOME", str(home))
        patch.setenv(*tiny.ONE_THREAD)
        return {way: trained_here({**FAST, "train.norm_statistics": way}) for way in WAYS}


def test_training_is_the_same_to_the_bit_whatever_validation_uses(three_ways):
    losses = {way: [event.loss for event in of_type(told, Batch)] for way, (_, told) in three_ways.items()}
    assert losses["running"] == losses["reestimated"] == losses["both"]
    assert len(losses["both"]) > 8


def test_both_curves_are_those_of_the_two_ways(three_ways):
    epochs = {way: of_type(told, Epoch) for way, (_, told) in three_ways.items()}
    scores = {way: [(e.valid_loss, e.mean_dice) for e in told] for way, told in epochs.items()}
    assert scores["both"] == scores["reestimated"] != scores["running"]
    assert [(e.running_valid_loss, e.running_mean_dice) for e in epochs["both"]] == scores["running"]
    assert {e.running_mean_dice for way in ("running", "reestimated") for e in epochs[way]} == {None}


@pytest.mark.parametrize("way", WAYS)
def test_the_weights_that_are_kept_are_the_network_of_the_shown_score(three_ways, way):
    run, told = three_ways[way]
    (*_, best) = [event for event in of_type(told, Epoch) if event.is_best]
    valid = run.read("result.json")["valid"]  # best.safetensors, read from the disk and scored once more
    assert valid["loss"] == best.valid_loss
    assert valid["mean_dice"] == best.mean_dice
    for name in ("best", "last"):
        model, card = load_weights(run.folder / f"{name}.safetensors")
        assert card.valid["mean_dice"] == of_type(told, Epoch)[card.epoch].mean_dice
        assert all(math.isfinite(buffer.sum()) for buffer in model.buffers())


def test_the_last_weights_hold_the_statistics_that_were_scored_too(three_ways):
    kept = {way: load_weights(run.folder / "last.safetensors")[0] for way, (run, _) in three_ways.items()}
    running, estimated, both = (kept[way] for way in WAYS)
    assert all(torch.equal(*pair) for pair in zip(running.parameters(), estimated.parameters(), strict=True))
    assert are_equal(buffers(estimated), buffers(both))
    assert not are_equal(buffers(estimated), buffers(running))


@pytest.mark.parametrize("way", WAYS)
def test_weights_lie_on_the_disk_before_any_validation_begins(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    has_weights, evaluate = [], train_job.evaluate

    def evaluating(*given: Any, **more: Any) -> Evaluation:
        (run,) = list_runs(own_workspace())
        has_weights.append((run.folder / "last.safetensors").exists())
        return evaluate(*given, **more)

    monkeypatch.setattr(train_job, "evaluate", evaluating)
    trained_here({**FAST, "train.epochs": 1, "train.norm_statistics": way})
    assert has_weights == [True] * (3 if way == "both" else 2), "the best is scored once more at the end"


def test_a_pause_does_not_wait_for_the_pictures_of_an_estimate(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def asking(self: TrainingBatches, epoch: int, count: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(3):
            (run.folder / "pause").touch()
            asked.append(number)
            yield self.batch([0, 1], *batch_randomness(0, 0, number, Purpose.STATISTICS))

    monkeypatch.setattr(TrainingBatches, "for_statistics", asking)
    config = tiny.config(changes=FAST)
    run, told = create_run(own_workspace(), config, device="cpu"), []
    with pytest.raises(Paused):
        train(run, config, "cpu", on_event=told.append, should_stop=lambda: False)
    assert asked == [0]
    assert not of_type(told, Epoch)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_after_a_few_fast_steps_the_scored_network_is_nearer_to_the_one_that_trains(make_learner, make_batches, ema):
    """Why all this: by the batch's own statistics the training loss is small, by lagging ones it is not."""
    learner, batches = trained(make_learner, make_batches, steps=4, ema=ema)
    images, masks = next(batches.epoch(9))

    def gap() -> float:
        weights = learner.loss.weights(masks)
        with torch.no_grad():
            own = learner.loss(copy.deepcopy(learner.kept_model).train()(images), masks, weights)
            return float(abs(learner.loss(learner.scored_model(images), masks, weights) - own))

    learner.take_statistics()
    lagging = gap()
    learner.take_statistics(batches.for_statistics(0, 2, 4))
    assert gap() < lagging / 2
