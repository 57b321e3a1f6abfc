"""The core loop. Oracles: a plain torch loop, the same seed to the bit, four shapes learnt by heart, failures."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unetlab import schedules
from unetlab.errors import TrainingError
from unetlab.events import Batch, Epoch, Event
from unetlab.inference.evaluation import Evaluation, evaluate
from unetlab.inference.metrics import Scores, count_pixels, scores
from unetlab.training.learner import Learner

CPU = torch.device("cpu")


def schedule(step: int, total_steps: int) -> tuple[float, float]:
    return schedules.one_cycle(step, total_steps, 0.01)


def fit(
    learner: Learner,
    batches,
    *,
    epochs: int = 2,
    validate=None,
    schedule=schedule,
    should_stop=lambda: False,
    **options: object,
):
    """(steps, events) of a fit that validates on the validation split."""
    events: list[Event] = []
    pictures = batches.pictures

    def validate_here(epoch: int) -> Evaluation:
        learner.take_statistics()
        return evaluate(
            learner.scored_model,
            pictures,
            pictures.data.indices("valid"),
            loss=learner.loss,
            autocast=learner.autocast,
            device=CPU,
            batch_size=2,
        )

    position = learner.fit_one_cycle(
        batches,
        validate or validate_here,
        epochs=epochs,
        schedule=schedule,
        on_event=events.append,
        should_stop=should_stop,
        **options,
    )
    return position.step, events


def scored(mean_dice: float | None, loss: float) -> Evaluation:
    return Evaluation(loss, Scores(mean_dice, mean_dice, mean_dice, {}, {}), np.zeros((2, 2)), {})


def of_type(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("precision_name", ["fp32", "bf16-mixed"])
def test_the_same_seed_gives_the_same_losses_and_weights_to_the_bit(make_learner, make_batches, precision_name):
    def run(seed: int) -> tuple[list[Event], list[torch.Tensor]]:
        learner = make_learner(seed=seed, dropout=0.3, precision_name=precision_name)
        _, events = fit(learner, make_batches(seed=seed, augment="strong"))
        return events, [tensor.clone() for tensor in learner.model.state_dict().values()]

    first, second, other = run(3), run(3), run(4)
    assert first[0] == second[0]
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))
    assert first[0] != other[0]


def four_shapes() -> tuple[torch.Tensor, torch.Tensor]:
    """A disc, a square, a triangle and a ring, 32x32 px, one class each, equally bright: only the shape tells."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    radius = ((x - 16) ** 2 + (y - 14) ** 2).sqrt()
    shapes = [
        radius < 9,
        ((x - 15).abs() < 8) & ((y - 17).abs() < 8),
        (y > 6) & (y < 26) & ((x - 16).abs() < (y - 6) / 2),
        (radius < 11) & (radius > 6),
    ]
    masks = torch.stack([shape.long() * (k + 1) for k, shape in enumerate(shapes)])
    noise = torch.rand(masks.shape, generator=torch.Generator().manual_seed(0)) * 0.2
    return ((masks > 0) * 0.7 + noise)[:, None], masks


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "cross_entropy+dice"])
def test_it_learns_four_shapes_by_heart(make_learner, loss):
    learner, (images, masks) = make_learner(num_classes=5, base_width=8, depth=3, loss=loss), four_shapes()
    for step in range(120):
        learner.train_step(images, masks, *schedules.one_cycle(step, 120, 0.03))
    with torch.no_grad():
        prediction = learner.model.eval()(images).argmax(1)
    found = scores(count_pixels(prediction.numpy(), masks.numpy(), 5), list("_abcd"), 0)
    assert found.mean_dice > 0.98


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_steps_equal_those_of_a_plain_torch_loop(make_learner, make_batches, clip_norm):
    learner = make_learner(loss="cross_entropy", weight_decay=0.3, clip_norm=clip_norm)
    model = copy.deepcopy(learner.model).train()
    kernels = {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.3}
    others = {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([kernels, others])
    pairs = [(0.01, 0.95), (0.03, 0.85)] * 2
    for (images, masks), (lr, momentum) in zip(
        [*make_batches().epoch(0), *make_batches().epoch(1)], pairs, strict=True
    ):
        for group in optimizer.param_groups:
            group.update(lr=lr, betas=(momentum, 0.99))
        optimizer.zero_grad()
        expected = F.cross_entropy(model(images), masks, ignore_index=255)
        expected.backward()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        assert learner.train_step(images, masks, lr, momentum) == pytest.approx(expected.item(), rel=1e-5)
    for ours, plain in zip(learner.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_every_step_tells_its_epoch_loss_and_the_schedule_it_followed(make_learner, make_batches):
    steps, events = fit(make_learner(), make_batches(), epochs=3)
    batches, epochs = of_type(events, Batch), of_type(events, Epoch)
    assert steps == 6
    assert [(b.step, b.epoch) for b in batches] == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert [(b.lr, b.momentum) for b in batches] == [schedule(step, 6) for step in range(6)]
    assert [(e.epoch, e.step) for e in epochs] == [(0, 2), (1, 4), (2, 6)]
    assert epochs[1].train_loss == pytest.approx((batches[2].loss + batches[3].loss) / 2)
    assert events.index(epochs[0]) == 2


@pytest.mark.parametrize("precision_name", ["bf16-mixed", "fp16-mixed"])
def test_mixed_precision_computes_in_half_keeps_weights_in_fp32_and_learns(make_learner, make_batches, precision_name):
    images, masks = next(make_batches().epoch(0))
    losses, dtypes = {}, set()
    for name in ("fp32", precision_name):
        learner = make_learner(precision_name=name)
        hook = learner.model.head.register_forward_hook(lambda module, args, output: dtypes.add(output.dtype))
        losses[name] = [learner.train_step(images, masks, 0.01, 0.9) for _ in range(6)]
        hook.remove()
        assert {p.dtype for p in learner.model.parameters()} == {torch.float32}
    half = torch.bfloat16 if precision_name == "bf16-mixed" else torch.float16
    assert dtypes == {torch.float32, half}
    assert losses[precision_name] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses[precision_name] != losses["fp32"]
    assert losses[precision_name][-1] < 0.8 * losses[precision_name][0]


def test_only_fp16_scales_its_gradients(make_learner):
    scaled = {
        name: make_learner(precision_name=name).scaler.is_enabled() for name in ("fp32", "bf16-mixed", "fp16-mixed")
    }
    assert scaled == {"fp32": False, "bf16-mixed": False, "fp16-mixed": True}


def test_an_overflow_in_fp16_skips_the_step_halves_the_scale_and_training_goes_on(make_learner, make_batches):
    learner = make_learner(precision_name="fp16-mixed", clip_norm=1.0)
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 2.0**40})
    before = [p.detach().clone() for p in learner.model.parameters()]
    images, masks = next(make_batches().epoch(0))
    loss = learner.train_step(images, masks, 0.01, 0.9)
    assert math.isfinite(loss)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))
    assert not learner.optimizer.state
    assert learner.scaler.get_scale() == 2.0**39
    for _ in range(40):
        learner.train_step(images, masks, 0.01, 0.9)
    assert learner.scaler.get_scale() < 2.0**30
    assert all(torch.isfinite(p).all() for p in learner.model.parameters())
    assert not torch.equal(before[0], next(learner.model.parameters()))


def test_clipping_limits_the_true_gradient_also_when_it_was_scaled(make_learner, make_batches):
    images, masks = next(make_batches().epoch(0))
    norms = []
    for name in ("fp32", "fp16-mixed"):
        learner = make_learner(precision_name=name, clip_norm=1e-3)
        learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 256.0} if name != "fp32" else {})
        parameters = list(learner.model.parameters())
        learner.optimizer.register_step_pre_hook(
            lambda *_, p=parameters: norms.append(torch.stack([q.grad.norm() for q in p]).norm().item())
        )
        learner.train_step(images, masks, 0.01, 0.9)
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-3)


def test_a_loss_that_is_not_finite_ends_training_with_what_to_do(make_learner, make_batches):
    learner = make_learner()
    with pytest.raises(TrainingError, match=r"(?s)not .*finite.*Train again with a third of the rate"):
        fit(learner, make_batches(), schedule=lambda step, total: (1e20, 0.9))


def test_a_validation_loss_that_is_not_finite_ends_training_too(make_learner, make_batches):
    with pytest.raises(
        TrainingError, match=r"after step 2: the loss on the validation pictures is not a finite number"
    ):
        fit(make_learner(), make_batches(), validate=lambda epoch: scored(None, math.nan))


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_stop_ends_the_epoch_early_and_scores_what_there_is(make_learner, make_batches, stop_after):
    taken: list[int] = []
    learner = make_learner()
    inner = learner.train_step
    learner.train_step = lambda *args: taken.append(1) or inner(*args)
    steps, events = fit(learner, make_batches(), epochs=5, should_stop=lambda: len(taken) >= stop_after)
    last = events[-2]  # before the note that says what is kept
    assert steps == len(taken) == stop_after
    assert isinstance(last, Epoch)
    assert (last.epoch, last.step) == ((stop_after - 1) // 2, stop_after)
    assert last.train_loss == events[-3].loss


def test_a_stop_between_epochs_adds_no_second_score_for_the_same_weights(make_learner, make_batches):
    validated: list[int] = []

    def validate(epoch: int) -> Evaluation:
        validated.append(epoch)
        return scored(0.5, 1.0)

    steps, events = fit(make_learner(), make_batches(), validate=validate, should_stop=lambda: bool(validated))
    assert steps == 2
    assert validated == [0]
    assert len(of_type(events, Epoch)) == 1


def test_a_stop_before_the_first_step_leaves_everything_as_it_was(make_learner, make_batches):
    learner = make_learner()
    before = copy.deepcopy(learner.model.state_dict())
    assert fit(learner, make_batches(), should_stop=lambda: True) == (0, [])
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.model.state_dict().items())


@pytest.mark.parametrize(
    ("evaluations", "expected"),
    [
        (
            [(0.5, 1.0), (0.4, 0.1), (0.45, 0.1), (0.6, 2.0)],
            [True, False, False, True],
        ),  # the highest mean Dice, whatever the loss
        ([(0.5, 1.0), (0.5, 1.0), (0.5, 0.9), (0.5, 0.95)], [True, False, True, False]),  # ties go to the lower loss
        ([(None, 1.0), (None, 0.5), (0.0, 9.0)], [True, True, True]),  # no class to score is below any score
    ],
)
def test_the_best_epoch_has_the_highest_dice_and_ties_go_to_the_lower_loss(
    make_learner, make_batches, evaluations, expected
):
    given = [scored(dice, loss) for dice, loss in evaluations]
    _, events = fit(make_learner(), make_batches(), epochs=len(given), validate=given.__getitem__)
    assert [event.is_best for event in of_type(events, Epoch)] == expected


def test_batchnorm_learns_in_training_only(make_learner, make_batches):
    learner = make_learner()
    before = learner.model.encoder[0][1].num_batches_tracked.item()
    steps, _ = fit(learner, make_batches(), epochs=2, schedule=partial(schedules.one_cycle, max_lr=0.001))
    assert learner.model.encoder[0][1].num_batches_tracked.item() == before + steps
