"""Rates by group of layers, read from the optimizer at every step. Oracles: the schedule, bits that must not move."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests import tiny
from tests.toy import Toy
from tests.training.test_learner import fit, of_type, schedule
from unetlab.errors import ConfigError
from unetlab.events import Batch, Note
from unetlab.models.contract import NORM_LAYERS, SegmentationModel
from unetlab.models.unet import UNet
from unetlab.runs import store
from unetlab.training.checkpoint import Checkpointer, snapshot
from unetlab.training.learner import Learner, Position
from unetlab.training.losses import make_loss
from unetlab.training.setup import set_up
from unetlab.workspace import own_workspace

CPU = torch.device("cpu")
NAMES = ("stem", "deep", "head")
SCALES = {"one": (1, 1, 1), "tenth": (0.1, 0.1, 1), 100: (0.01, 0.1, 1)}


class Killed(Exception):
    """Stands for the end of the process."""


def learner_of(model: SegmentationModel, **options: object) -> Learner:
    return Learner(model, make_loss("cross_entropy+dice"), device=CPU, **options)


def toy_learner(*, seed: int = 0, norm: str | None = None, **options: object) -> Learner:
    torch.manual_seed(seed)
    model = Toy()
    if norm:
        model.freeze_encoder(norm=norm)
    return learner_of(model, **options)


def rates_at_every_step(learner: Learner) -> list[dict[str, float]]:
    """Filled, as training goes on, with the rate of each group of layers in the moment of each update."""
    found: list[dict[str, float]] = []

    def read(optimizer: torch.optim.Optimizer, *_: object) -> None:
        rates: dict[str, set[float]] = {}
        for group in optimizer.param_groups:
            rates.setdefault(group["name"], set()).add(group["lr"])
        assert all(len(of_group) == 1 for of_group in rates.values()), "with and without decay the same rate"
        found.append({name: of_group.pop() for name, of_group in rates.items()})

    learner.optimizer.register_step_pre_hook(read)
    return found


@pytest.mark.parametrize("lr_slice", SCALES)
def test_every_group_has_its_share_of_the_rate_at_every_step(make_batches, lr_slice):
    learner = toy_learner(lr_slice=lr_slice)
    rates = rates_at_every_step(learner)
    _, events = fit(learner, make_batches(), epochs=4)
    told = [event.lr for event in of_type(events, Batch)]
    assert told == [schedule(step, 8)[0] for step in range(8)], "what is told is the top group's rate"
    assert [rate["head"] for rate in rates] == told
    for name, scale in zip(NAMES, SCALES[lr_slice], strict=True):
        assert [rate[name] / rate["head"] for rate in rates] == pytest.approx([scale] * 8, rel=1e-12)
    assert tuple(learner.lr_scales) == NAMES
    assert tuple(learner.lr_scales.values()) == pytest.approx(SCALES[lr_slice], rel=1e-12)


@pytest.mark.parametrize("norm", [None, "hold", "train"])
def test_the_shares_outlive_freezing_train_eval_a_checkpoint_and_a_resume(make_batches, tmp_path: Path, norm):
    options = {"norm": norm, "lr_slice": 100, "ema": 0.9}
    first, path = toy_learner(**options), tmp_path / "checkpoint.pt"
    rates, checkpointer = rates_at_every_step(first), Checkpointer(path, first)

    def keep(position: Position) -> None:
        first.model.eval()
        first.model.train()
        if position.step == 3:
            checkpointer.save(position)
            checkpointer.close()
            raise Killed

    with pytest.raises(Killed):
        fit(first, make_batches(), epochs=4, keep=keep)
    second = toy_learner(seed=9, **options)
    rates_after = rates_at_every_step(second)
    position = Checkpointer(path, second).load()
    fit(second, make_batches(), epochs=4, position=position)
    assert (len(rates), len(rates_after)) == (3, 5)
    expected = dict(zip(NAMES, SCALES[100], strict=True))
    if norm == "hold":
        expected = {"head": 1}
    for step, rate in enumerate([*rates, *rates_after]):
        top = schedule(step, 8)[0]
        assert rate == pytest.approx({name: top * scale for name, scale in expected.items()}, rel=1e-12)
    assert list(second.lr_scales) == list(NAMES), "frozen groups keep their place"


def test_decay_pulls_on_kernels_only_in_every_group():
    learner = toy_learner(weight_decay=0.3)
    decays = {id(p): group["weight_decay"] for group in learner.optimizer.param_groups for p in group["params"]}
    assert {name: decays[id(p)] for name, p in learner.model.named_parameters()} == {
        name: 0.3 if p.ndim > 1 else 0.0 for name, p in learner.model.named_parameters()
    }
    learner = toy_learner(weight_decay=0.3)
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    for parameter in learner.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for group in learner.optimizer.param_groups:
        group["lr"] = 0.1
    learner.optimizer.step()
    for name, parameter in learner.model.named_parameters():
        expected = before[name] * (1 - 0.1 * 0.3) if parameter.ndim > 1 else before[name]
        torch.testing.assert_close(parameter.detach(), expected)


MODELS = {"unet": lambda: UNet(1, 2, base_width=4, depth=2, dropout=0.3), "toy": Toy}


def parts(model: SegmentationModel) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """(the encoder's kernels and other fixed parts, all of its norm layers, the rest), copied, by name."""
    modules = [module for part in model.encoder_modules() for module in part.modules()]
    of_norms = {
        id(tensor) for m in modules if isinstance(m, NORM_LAYERS) for tensor in m.state_dict(keep_vars=True).values()
    }
    of_encoder = {id(tensor) for m in modules for tensor in m.state_dict(keep_vars=True).values()}
    fixed, norms, rest = {}, {}, {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        place = norms if id(tensor) in of_norms else fixed if id(tensor) in of_encoder else rest
        place[name] = tensor.detach().clone()
    return fixed, norms, rest


def unchanged(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if torch.equal(before[name], after[name])}


@pytest.mark.parametrize("norm", ["hold", "train"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("network", MODELS)
def test_a_frozen_encoder_keeps_its_bits_under_decay_and_only_trained_norms_move(make_batches, network, norm, ema):
    torch.manual_seed(0)
    model = MODELS[network]()
    model(torch.rand(2, 1, 16, 16))  # BatchNorm's statistics are not the fresh ones
    model.freeze_encoder(norm=norm)
    learner = learner_of(model, weight_decay=0.9, ema=ema, lr_slice=10)
    optimized = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}
    before = parts(model)
    for number in range(3):
        model.eval()
        model.train()
        learner.train_step(*next(make_batches().epoch(number)), 0.05, 0.9)
    learner.take_statistics(make_batches().for_statistics(0, 2, 4))
    for fixed, norms, rest in (parts(model), parts(learner.scored_model)):
        assert unchanged(before[0], fixed) == before[0].keys()
        assert unchanged(before[1], norms) == (before[1].keys() if norm == "hold" else set())
        assert unchanged(before[2], rest) == {"mean", "std"}


def test_a_fit_validates_and_trains_on_with_the_encoder_held(make_batches):
    learner = toy_learner(norm="hold")
    before = parts(learner.model)
    steps, _ = fit(learner, make_batches(), epochs=3)  # each validation switches to eval() and back
    assert steps == 6
    after = parts(learner.model)
    assert unchanged(before[0], after[0]) | unchanged(before[1], after[1]) == before[0].keys() | before[1].keys()


def as_schema_1(learner: Learner) -> torch.optim.AdamW:
    """The optimizer as it was then: all kernels, then all other parameters."""
    parameters = list(learner.model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01, "lr_scale": 1.0},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "lr_scale": 1.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)


@pytest.mark.parametrize("network", MODELS)
@pytest.mark.parametrize("step", [0, 3])
def test_a_checkpoint_of_schema_1_goes_on_to_the_bit(make_batches, tmp_path: Path, network, step):
    def learner(seed: int) -> Learner:
        torch.manual_seed(seed)
        return learner_of(MODELS[network]())

    whole = learner(1)
    _, expected = fit(whole, make_batches(), epochs=4)
    first = learner(1)
    first.optimizer = as_schema_1(first)

    def keep(position: Position) -> None:
        if position.step == step:
            content = copy.deepcopy(snapshot(first))
            for group in content["optimizer"]["param_groups"]:
                del group["lr_scale"]
            at = {**vars(position), "losses": list(position.losses)}
            torch.save({"schema_version": 1, "position": at, **content}, tmp_path / "checkpoint.pt")
            raise Killed

    with pytest.raises(Killed):
        fit(first, make_batches(), epochs=4, keep=keep)
    second = learner(5)
    position = Checkpointer(tmp_path / "checkpoint.pt", second).load()
    assert position is not None
    _, events = fit(second, make_batches(), epochs=4, position=position)
    assert of_type(events, Batch) == of_type(expected, Batch)[step:]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def lr_scales_of(run: store.Run) -> dict[str, float]:
    return (run.read("environment.json") or {})["lr_scales"]


@pytest.mark.parametrize(("lr_slice", "encoder"), [("one", 1.0), ("tenth", 0.1), (50, 0.02)])
def test_a_run_keeps_the_shares_of_its_groups_by_name(tiny_set: Path, lr_slice, encoder: float):
    run = store.create_run(own_workspace(), tiny.config(changes={"train.lr_slice": lr_slice}))
    set_up(run, run.config, "cpu", lambda event: None)
    assert lr_scales_of(run) == pytest.approx({"encoder": encoder, "decoder": 1.0})


def test_a_run_begun_before_there_were_shares_is_not_said_to_have_changed(tiny_set: Path):
    run, told = store.create_run(own_workspace(), tiny.config()), []
    set_up(run, run.config, "cpu", told.append)
    before = run.read("environment.json")
    assert before is not None
    del before["lr_scales"]
    (run.folder / "environment.json").write_text(json.dumps(before))
    set_up(run, run.config, "cpu", told.append)
    assert not [note for note in of_type(told, Note) if "Changed since the last attempt" in note.message]
    assert math.prod(lr_scales_of(run).values()) == 1


def test_a_share_that_is_none_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match=r"train\.lr_slice"):
        tiny.config(changes={"train.lr_slice": "half"})
