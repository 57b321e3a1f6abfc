"""Checkpoints. Oracle: the run that was never interrupted, to the bit."""

import errno
import math
from pathlib import Path

import pytest
import torch

from tests.training.test_learner import fit
from unetlab.errors import RunError
from unetlab.events import Batch, Epoch
from unetlab.training import checkpoint
from unetlab.training.checkpoint import Checkpointer
from unetlab.training.learner import Position

EPOCHS = 3


class Killed(Exception):
    """Stands for the end of the process."""


def told(events: list) -> list:
    return [event for event in events if isinstance(event, Batch | Epoch)]


@pytest.mark.parametrize("precision_name", ["fp32", "bf16-mixed", "fp16-mixed"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_training_that_goes_on_from_any_step_gives_the_losses_of_one_that_never_ended(
    make_learner, make_batches, tmp_path: Path, precision_name: str, ema: float
):
    options = {"dropout": 0.3, "precision_name": precision_name, "ema": ema, "micro_batch": 3}
    sizes = {"augment": "strong", "batch_size": 4, "size_mode": "crop"}
    whole = make_learner(**options)
    _, expected = fit(whole, make_batches(**sizes), epochs=EPOCHS)
    for step in range(6):
        path = tmp_path / f"{precision_name}-{step}.pt"
        first = make_learner(**options)
        checkpointer = Checkpointer(path, first)

        def keep(position: Position, step: int = step, checkpointer: Checkpointer = checkpointer) -> None:
            if position.step == step:
                checkpointer.save(position)
                checkpointer.close()
                raise Killed

        with pytest.raises(Killed):
            fit(first, make_batches(**sizes), epochs=EPOCHS, keep=keep)
        second = make_learner(seed=99, **options)
        torch.manual_seed(99)
        position = Checkpointer(path, second).load()
        assert position is not None
        assert position.step == step
        _, events = fit(second, make_batches(**sizes), epochs=EPOCHS, position=position)
        assert told(events) == [event for event in told(expected) if event.step >= step + isinstance(event, Epoch)]
        for name, tensor in whole.scored_model.state_dict().items():
            assert torch.equal(tensor, second.scored_model.state_dict()[name]), name


def test_a_training_that_ended_in_its_validation_validates_again_and_goes_on(
    make_learner, make_batches, tmp_path: Path
):
    _, expected = fit(make_learner(), make_batches(), epochs=EPOCHS)
    learner, position = make_learner(), Position()
    checkpointer = Checkpointer(tmp_path / "checkpoint.pt", learner)

    def die(epoch: int) -> None:
        checkpointer.save(position)
        checkpointer.close()
        raise Killed

    with pytest.raises(Killed):
        fit(learner, make_batches(), epochs=EPOCHS, validate=die, position=position)
    other = make_learner(seed=5)
    position = Checkpointer(tmp_path / "checkpoint.pt", other).load()
    _, events = fit(other, make_batches(), epochs=EPOCHS, position=position)
    assert told(events) == told(expected)[2:]


def test_a_checkpoint_is_readable_without_running_code(make_learner, make_batches, tmp_path: Path):
    learner = make_learner(ema=0.9)
    learner.train_step(*next(make_batches().epoch(0)), 0.01, 0.9)
    checkpointer = Checkpointer(tmp_path / "checkpoint.pt", learner)
    checkpointer.save(Position(step=1, losses=[0.5], best=(-math.inf, 0.25)))
    checkpointer.close()
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content.keys() == {
        "schema_version", "position", "model", "optimizer", "average", "scaler", "rng", "device_rng"
    }  # fmt: skip
    assert Position(**content["position"]) == Position(step=1, losses=[0.5], best=(-math.inf, 0.25))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_what_is_saved_is_the_moment_of_the_call_though_training_goes_on(make_learner, make_batches, tmp_path: Path):
    learner, (images, masks) = make_learner(), next(make_batches().epoch(0))
    learner.train_step(images, masks, 0.01, 0.9)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    checkpointer = Checkpointer(tmp_path / "checkpoint.pt", learner)
    checkpointer.save(Position())
    learner.train_step(images, masks, 0.01, 0.9)
    checkpointer.close()
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(torch.equal(tensor, content["model"][name]) for name, tensor in before.items())


@pytest.mark.parametrize("failure", ["torn", "full"])
def test_the_last_good_checkpoint_survives_a_write_that_fails(
    make_learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
):
    learner = make_learner()
    checkpointer = Checkpointer(tmp_path / "checkpoint.pt", learner)
    checkpointer.save(Position(step=1))
    checkpointer.close()

    def fail(content: object, file) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device") if failure == "full" else RuntimeError("write failed")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        checkpointer.save(Position(step=2))
        checkpointer.close()
    assert checkpointer.problem
    assert Checkpointer(tmp_path / "checkpoint.pt", learner).load().step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    checkpointer.save(Position(step=3))
    checkpointer.close()
    assert not checkpointer.problem
    assert Checkpointer(tmp_path / "checkpoint.pt", learner).load().step == 3


def test_a_damaged_checkpoint_is_told_with_the_way_out(make_learner, tmp_path: Path):
    learner, path = make_learner(), tmp_path / "checkpoint.pt"
    checkpointer = Checkpointer(path, learner)
    checkpointer.save(Position())
    checkpointer.close()
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(RunError, match=r"cannot be read.*Delete checkpoint\.pt"):
        checkpointer.load()
    path.write_bytes(b"")
    with pytest.raises(RunError, match="cannot be read"):
        checkpointer.load()


def test_a_checkpoint_of_a_newer_schema_is_not_guessed_at(make_learner, tmp_path: Path, monkeypatch):
    checkpointer = Checkpointer(tmp_path / "checkpoint.pt", make_learner())
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", 3)
    checkpointer.save(Position())
    checkpointer.close()
    monkeypatch.undo()
    with pytest.raises(RunError, match="newer unetlab"):
        checkpointer.load()


def test_one_is_due_when_the_last_is_twenty_five_seconds_old_and_written(make_learner, tmp_path: Path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    checkpointer = Checkpointer(tmp_path / "checkpoint.pt", make_learner())
    clock[0] += 24.9
    assert not checkpointer.is_due
    clock[0] += 0.2
    assert checkpointer.is_due
    checkpointer.save(Position())
    checkpointer.close()
    assert not checkpointer.is_due


def test_there_may_be_no_checkpoint(make_learner, tmp_path: Path):
    assert Checkpointer(tmp_path / "checkpoint.pt", make_learner()).load() is None
