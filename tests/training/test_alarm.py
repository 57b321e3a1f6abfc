"""The black-mask alarm on real small trainings that go wrong on purpose: every cause is provoked, named and mended."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from unetlab import schedules
from unetlab.config import RunConfig
from unetlab.data.dataset import DataSet
from unetlab.diagnosis.advice import Advice
from unetlab.events import Batch, Note
from unetlab.inference.evaluation import Evaluation, evaluate
from unetlab.inference.pictures import Pictures
from unetlab.models.unet import UNet
from unetlab.training import alarm
from unetlab.training.batches import TrainingBatches
from unetlab.training.learner import Learner
from unetlab.training.losses import balanced_weights, make_loss
from unetlab.training.norm_statistics import num_batches

CPU = torch.device("cpu")
TINY = {
    "data.image_size": 32,
    "model.base_width": 4,
    "model.depth": 2,
    "train.batch_size": 4,
    "train.epochs": 12,
    "train.augment": "none",
    "train.device": "cpu",
}


def boxes(*, side: int = 16, contrast: int = 85, noise: int = 25, offsets: Sequence[int] = (0,), count: int = 24):
    """Noisy pictures of 32 px, each with a box `side` px wide, brighter by `contrast`; `offsets` shift them in turn."""
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        mask = np.zeros((32, 32), np.uint8)
        top, left = rng.integers(0, 32 - side + 1, 2)
        mask[top : top + side, left : left + side] = 255
        grey = rng.normal(90 + offsets[number % len(offsets)], noise, mask.shape) + (mask > 0) * contrast
        pairs.append((f"p{number:02}", np.clip(grey, 0, 255).astype(np.uint8), mask))
    return pairs


@pytest.fixture(scope="session")
def plain(import_pairs) -> DataSet:
    """A quarter of the pixels is foreground."""
    return import_pairs(boxes(), name="plain")


@pytest.fixture(scope="session")
def rare(import_pairs) -> DataSet:
    """0.9 % of the pixels are foreground."""
    return import_pairs(boxes(side=3, contrast=60), name="rare")


@pytest.fixture(scope="session")
def bright_and_dark(import_pairs) -> DataSet:
    """A quarter is foreground; pictures are dark and bright in turn, by far more than a box differs from its ground."""
    return import_pairs(boxes(contrast=20, noise=6, offsets=(-80, 90), count=40), name="bright-and-dark")


@dataclass
class Training:
    """A training as setup.py sets one up, without a worker. `valid`: the pictures that are validated."""

    config: RunConfig
    learner: Learner
    batches: TrainingBatches
    valid: list[int]

    def __post_init__(self) -> None:
        self.losses: list[float] = []
        self.lrs: list[float] = []

    def epoch(self, number: int) -> Evaluation:
        """Trains for one epoch and validates."""
        total = self.config.train.epochs * self.batches.steps_per_epoch
        self.learner.model.train()
        for images, masks in self.batches.epoch(number):
            lr, momentum = schedules.planned(len(self.losses), total, self.config.train)
            self.losses.append(self.learner.train_step(images, masks, lr, momentum))
            self.lrs.append(lr)
        learner, size = self.learner, self.config.train.batch_size
        count = num_batches(len(self.batches.samples), size, num_validated=len(self.valid))
        is_running = self.config.train.norm_statistics == "running"
        learner.take_statistics(() if is_running else self.batches.for_statistics(number, count, size))
        return evaluate(
            learner.scored_model,
            self.batches.pictures,
            self.valid,
            loss=learner.loss.value,
            autocast=learner.autocast,
            device=CPU,
            batch_size=4,
        )

    def look(self, evaluation: Evaluation, epoch: int, *, in_a_row: int = 2, **more: Any) -> Note | None:
        return alarm.look(
            self.learner,
            self.batches,
            evaluation,
            epoch=epoch,
            in_a_row=in_a_row,
            losses=self.losses,
            lrs=self.lrs,
            config=self.config,
            **more,
        )

    def first_alarm(self) -> dict[str, Any] | None:
        """What the first note that is more than "wait" is about; None where no epoch brings one."""
        watch, heard = alarm.Watch(self.learner, self.batches, self.config), 0
        for number in range(self.config.train.epochs):
            evaluation = self.epoch(number)
            for step in range(heard, len(self.losses)):
                watch.hear(Batch(step, number, self.losses[step], self.lrs[step], 0.9))
            heard = len(self.losses)
            note = watch.look(evaluation, number)
            if note and note.about.get("cause", "early") != "early":
                return note.about
        return None

    def last_dice(self) -> float:
        """Mean Dice after all epochs."""
        evaluations = [self.epoch(number) for number in range(self.config.train.epochs)]
        return evaluations[-1].scores.mean_dice or 0.0


def training(data: DataSet, changes: dict[str, Any], *, valid: list[int] | None = None, dropout: float = 0) -> Training:
    config = RunConfig(kind="train", dataset=data.name).changed(TINY | changes)
    options = config.train
    torch.manual_seed(options.seed)
    model = UNet(data.channels, data.num_classes, config.model.base_width, config.model.depth, dropout=dropout)
    model.set_normalisation(*data.statistics())
    weights = balanced_weights(torch.as_tensor(data.class_pixels("train"))) if options.class_weights != "none" else None
    learner = Learner(model, make_loss(options.loss, weights), device=CPU, ema=options.ema)
    pictures = Pictures(data, config.data)
    batches = TrainingBatches(pictures, batch_size=options.batch_size, augment="none", seed=options.seed, device=CPU)
    return Training(config, learner, batches, data.indices("valid") if valid is None else valid)


IMBALANCE = {"train.loss": "cross_entropy", "train.max_lr": 1e-2}
AT_ONCE = IMBALANCE | {"train.norm_statistics": "running"}  # black from the first epoch on: its averages are fresh


def test_rare_foreground_under_cross_entropy_is_named_and_the_proposed_run_mends_it(rare):
    about = training(rare, IMBALANCE).first_alarm()
    assert about is not None
    assert about["cause"] == "imbalance"
    assert about["changes"] == {"train.loss": "cross_entropy+dice", "train.class_weights": "balanced"}
    assert training(rare, IMBALANCE).last_dice() == 0
    assert training(rare, IMBALANCE | about["changes"]).last_dice() > 0.5


@pytest.mark.parametrize(("loss", "max_lr"), [("cross_entropy", 3), ("cross_entropy", 30), ("cross_entropy+dice", 10)])
def test_a_rate_far_too_high_is_named_whether_the_weights_or_the_answers_blow_up(plain, loss, max_lr):
    wrong = {"train.loss": loss, "train.max_lr": max_lr, "train.schedule": "flat"}
    about = training(plain, wrong).first_alarm()
    assert about is not None
    assert (about["code"], about["cause"]) == ("black-mask", "learning-rate")
    assert about["changes"] == {"train.max_lr": max_lr / 10}
    assert about["page"] == "pages/lab/learning_rate.py"


def test_who_has_swept_is_not_sent_to_the_sweep_by_a_rate_that_is_too_high(plain):
    found = training(plain, {"train.loss": "cross_entropy", "train.max_lr": 30, "train.schedule": "flat"})
    notes = [found.look(found.epoch(number), number, is_swept=True) for number in range(found.config.train.epochs)]
    about = next(note.about for note in notes if note and note.about["cause"] == "learning-rate")
    assert about["page"] is None


def test_the_run_proposed_against_a_rate_of_one_learns(plain):
    wrong = {"train.loss": "cross_entropy", "train.max_lr": 3}
    about = training(plain, wrong | {"train.schedule": "flat"}).first_alarm()
    assert about is not None
    assert training(plain, wrong | about["changes"]).last_dice() > 0.9


def test_statistics_of_single_pictures_are_named_and_a_larger_batch_mends_them(bright_and_dark):
    dark = [i for i in bright_and_dark.indices("valid") if bright_and_dark.image(i).mean() < 0.4]
    assert dark
    wrong = {"train.batch_size": 1, "train.max_lr": 1e-2, "train.epochs": 5}
    about = training(bright_and_dark, wrong, valid=dark).first_alarm()
    assert about is not None
    assert about["cause"] == "batch-norm"
    assert about["changes"] == {"train.batch_size": 8}
    steps = {"train.epochs": 40}  # as many as single pictures had
    found = training(bright_and_dark, wrong | about["changes"] | steps, valid=dark).last_dice()
    assert found > 0.6, found
    assert training(bright_and_dark, wrong, valid=dark).last_dice() < 0.45


def test_masks_that_hold_one_class_in_training_are_sent_to_the_data_page(import_pairs, plain):
    validated = {plain.manifest.pairs[i].name for i in plain.indices("valid")}
    pairs = [(name, picture, mask * (name in validated)) for name, picture, mask in boxes()]
    data = import_pairs(pairs, name="plain")
    assert (data.class_pixels("train")[1], data.class_pixels("valid")[1] > 0) == (0, True)
    about = training(data, {"train.epochs": 20}).first_alarm()
    assert about is not None
    assert (about["cause"], about["changes"], about["page"]) == ("masks", {}, "pages/lab/data.py")


def test_a_training_that_is_all_right_waits_in_its_first_steps_and_never_alarms(plain):
    lagging = {"train.max_lr": 1e-2, "train.epochs": 30, "train.norm_statistics": "running"}
    right = training(plain, lagging)
    first = right.look(right.epoch(0), 0)
    assert first is not None
    assert first.about == {"code": "black-mask", "cause": "early", "changes": {}, "page": None}
    assert training(plain, lagging | {"train.epochs": 15}).first_alarm() is None


def test_with_statistics_estimated_anew_there_is_not_even_a_first_black_mask(plain):
    right = training(plain, {"train.max_lr": 1e-2})
    assert not any(alarm.is_black(right.epoch(number)) for number in range(6))


def test_a_run_too_short_for_running_averages_is_told_so(plain):
    short = {"train.epochs": 3, "train.norm_statistics": "running"}
    about = training(plain, short).first_alarm()
    assert about is not None
    assert about["cause"] == "few-steps"
    assert training(plain, short | about["changes"]).last_dice() > 0.8


def test_a_black_mask_that_comes_and_goes_is_told_only_when_it_stays(rare):
    found = training(rare, IMBALANCE)
    while not alarm.is_black(evaluation := found.epoch(len(found.losses) // found.batches.steps_per_epoch)):
        pass
    first, second = (found.look(evaluation, 9, in_a_row=count) for count in (1, 2))
    assert first is not None
    assert second is not None
    assert [note.about["cause"] for note in (first, second)] == ["early", "imbalance"]


def test_only_black_masks_in_a_row_count(rare, monkeypatch: pytest.MonkeyPatch):
    counts, found = [], training(rare, AT_ONCE)
    black = found.epoch(0)
    two = black.confusion.copy()
    two[:, 1] += two.sum()
    monkeypatch.setattr(alarm, "look", lambda *_, in_a_row, is_swept, **__: counts.append(in_a_row * is_swept))
    watch = alarm.Watch(found.learner, found.batches, found.config, is_swept=True)
    for evaluation in (black, black, Evaluation(black.loss, black.scores, two, {}), black):
        watch.look(evaluation, 0)
    assert counts == [1, 2, 0, 1]


def test_a_note_is_taken_back_when_the_mask_is_black_no_more_and_comes_again_with_it(rare, monkeypatch):
    found = training(rare, AT_ONCE)
    black = found.epoch(0)
    two = black.confusion.copy()
    two[:, 1] += two.sum()
    fine = Evaluation(black.loss, black.scores, two, {})
    monkeypatch.setattr(alarm, "black_mask", lambda facts: Advice("early" if facts.in_a_row == 1 else "imbalance", ""))
    watch = alarm.Watch(found.learner, found.batches, found.config)
    watch.hear(Batch(0, 0, found.losses[0], found.lrs[0], 0.9))
    notes = [watch.look(seen, 0) for seen in (fine, black, fine, black, black, black, fine, fine, black, black)]
    told = [note and note.about.get("cause", note.about["code"]) for note in notes]
    gone = "black-mask-gone"
    assert told == [None, "early", gone, None, "imbalance", None, gone, None, None, "imbalance"]
    monkeypatch.setattr(alarm, "black_mask", lambda facts: Advice("masks", ""))
    watch = alarm.Watch(found.learner, found.batches, found.config)
    watch.hear(Batch(0, 0, found.losses[0], found.lrs[0], 0.9))
    assert [bool(watch.look(seen, 0)) for seen in (black, fine, black)] == [True, False, False], (
        "masks stay as they are"
    )


@pytest.mark.parametrize("way", ["running", "reestimated"])
def test_the_diagnosis_is_told_which_statistics_were_scored_and_what_they_give(plain, monkeypatch, way):
    facts, found = [], training(plain, {"train.max_lr": 1e-2, "train.norm_statistics": way})
    evaluation = [found.epoch(number) for number in range(12)][-1]
    black = np.zeros_like(evaluation.confusion)
    black[:, 0] = evaluation.confusion.sum(1)
    monkeypatch.setattr(alarm, "black_mask", lambda told: facts.append(told) or Advice("early", ""))
    assert found.look(Evaluation(evaluation.loss, evaluation.scores, black, {}), 0) is not None
    (told,) = facts
    assert told.is_running == (way == "running")
    assert not told.is_swept
    images, _ = next(found.batches.epoch(0))
    answers = found.learner.scored_model(images).argmax(1)
    assert told.scored_share == pytest.approx((answers == 0).float().mean().item())
    assert 0.5 < told.scored_share < 0.9


def state_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state = {
        **{f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        **{
            f"optimizer.{i}.{name}": torch.as_tensor(value)
            for i, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()
        },
        "rng": torch.get_rng_state(),
        "numpy": torch.as_tensor(np.random.get_state()[1].astype(np.int64)),
        "modes": torch.tensor([module.training for module in model.modules()]),
    }
    return copy.deepcopy(state)


@pytest.mark.parametrize("ema", [0.0, 0.99])
@pytest.mark.parametrize("is_training", [True, False])
def test_looking_changes_nothing_by_a_bit(rare, is_training, ema):
    found = training(rare, AT_ONCE | {"train.ema": ema}, dropout=0.5)
    evaluation = found.epoch(0)
    learner = found.learner
    for model in {learner.model, learner.scored_model}:
        model.train(is_training)
    model = learner.average or learner.model
    before = state_of(model, learner.optimizer) | {
        "other": torch.cat([p.flatten() for p in learner.model.parameters()])
    }
    assert found.look(evaluation, 0) is not None
    after = state_of(model, learner.optimizer) | {"other": torch.cat([p.flatten() for p in learner.model.parameters()])}
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert all(parameter.grad is None for parameter in learner.model.parameters())


def test_training_with_looks_in_between_gives_the_same_losses(rare):
    def losses(*, is_watched: bool) -> list[float]:
        found = training(rare, AT_ONCE, dropout=0.5)
        for number in range(3):
            evaluation = found.epoch(number)
            if is_watched:
                assert found.look(evaluation, number) is not None
        return found.losses

    assert losses(is_watched=True) == losses(is_watched=False)


def test_buffers_and_modes_are_put_back_also_when_the_forward_pass_fails(plain):
    model = training(plain, {}).learner.model.train()
    before = copy.deepcopy(model.state_dict())

    def fail_after_a_pass() -> None:
        with alarm.without_a_trace(model), torch.no_grad():
            alarm.use_batch_statistics(model)
            model(torch.rand(2, 1, 32, 32))
            raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        fail_after_a_pass()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_what_predicts_two_classes_costs_no_forward_pass(rare):
    found = training(rare, AT_ONCE)
    evaluation = found.epoch(0)
    two = evaluation.confusion.copy()
    two[:, 1] += two.sum() // 500
    found.learner.scored_model.register_forward_hook(lambda *_: pytest.fail("a forward pass"))
    look = found.look(Evaluation(evaluation.loss, evaluation.scores, two, {}), 0)
    assert look is None


def test_a_black_mask_is_told_also_late_and_a_cause_once(rare):
    found = training(rare, AT_ONCE)
    evaluation = found.epoch(0)
    note = found.look(evaluation, 11)
    assert note is not None
    assert found.look(evaluation, 11, told={note.about["cause"]}) is None


def test_a_look_at_a_black_mask_costs_two_forward_passes(rare):
    found, passes = training(rare, AT_ONCE), []
    evaluation = found.epoch(0)
    found.learner.scored_model.register_forward_hook(lambda *_: passes.append(1))
    assert found.look(evaluation, 0) is not None
    assert len(passes) == 2
