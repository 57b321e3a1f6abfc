"""One training on several devices. Oracle: one process with the same global batch; two gloo processes do the same."""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
import torch

from tests import tiny
from tests.training import one_rank
from unetlab.data.dataset import IGNORE
from unetlab.errors import ConfigError
from unetlab.models.unet import UNet
from unetlab.training.distributed import Team, open_team, with_sync_batchnorm

CPU = torch.device("cpu")
Answers = dict[str, Any]
# sums over pictures are taken in another order: float32 to 1e-5 of a loss; fp16 rounds to 1e-3; balanced: float64
LOSS_TOLERANCE = {"fp16": 1e-3, "balanced": 1e-9}
WEIGHT_TOLERANCE = {"fp16": 5e-3, "balanced": 1e-8}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Answers]:
    """What each of two gloo processes answers."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.one_rank", str(folder / f"{rank}.json")],
            cwd=tiny.ROOT,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in processes:
            _, said = process.communicate(timeout=tiny.PATIENCE_S)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def one(one_thread: None) -> Answers:
    """What one process answers."""
    return one_rank.answers(Team())


@pytest.mark.parametrize("name", one_rank.SCENARIOS)
def test_two_processes_give_the_losses_and_weights_of_one_with_the_same_batches(
    one: Answers, two: list[Answers], name: str
):
    for answers in two:
        assert len(answers[name]["losses"]) == 6
        assert answers[name]["losses"] == pytest.approx(one[name]["losses"], rel=LOSS_TOLERANCE.get(name, 1e-5))
        for mine, wanted in zip(answers[name]["weights"], one[name]["weights"], strict=True):
            assert mine == pytest.approx(wanted, abs=WEIGHT_TOLERANCE.get(name, 1e-5))


def test_the_scenarios_differ_from_one_another_where_they_should(one: Answers):
    assert one["clipped"]["weights"] != one["whole"]["weights"]
    assert one["averaged"]["weights"] != one["whole"]["weights"]
    assert one["whole"]["losses"][-3] < one["whole"]["losses"][0], "it learns"


def test_a_step_that_is_not_finite_on_one_rank_is_skipped_on_all(one: Answers, two: list[Answers]):
    expected = {"is_finite": False, "skipped": [True, False], "is_kept": True}
    assert [one["skipping"], *(answers["skipping"] for answers in two)] == [expected] * 3


def test_all_end_at_the_same_step_when_the_leaders_scores_or_a_stop_say_so(one: Answers, two: list[Answers]):
    assert one["patience"] == {"step": 9, "epoch": 3, "how": "ended", "steps": list(range(9))}
    assert one["stop"] == {"step": 4, "epoch": 1, "how": "ended", "steps": list(range(4))}
    for answers in two:
        assert (answers["patience"], answers["stop"]) == (one["patience"], one["stop"])


def test_where_the_leader_leaves_for_a_pause_the_others_leave_at_the_same_step(two: list[Answers]):
    leader, other = (answers["pause"] for answers in two)
    assert (leader["step"], leader["how"]) == (5, "paused")
    assert (other["step"], other["how"]) == (5, "left with 0")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("micro_batch", [None, 1, 2, 8])
def test_the_parts_of_all_ranks_are_the_whole_step_once_and_equally_many(count: int, size: int, micro_batch):
    images = torch.arange(1.0, count + 1).view(count, 1, 1, 1)
    masks = torch.ones(count, 1, 1, dtype=torch.int64)
    dealt = [list(Team(rank=rank, size=size).parts(images, masks, micro_batch)) for rank in range(size)]
    assert len({len(parts) for parts in dealt}) == 1, "or one rank would wait for the others for ever"
    parts = [part for rank in dealt for part in rank]
    counted = [image.item() for part, mask in parts for image in part[(mask != IGNORE).all((1, 2))]]
    assert sorted(counted) == list(range(1, count + 1))
    assert all(1 <= len(part) <= (micro_batch or count) for part, _ in parts)
    assert sum(len(part) for part, _ in parts) - count < size, "stand-ins, in the last part only"
    assert all((mask != IGNORE).all() for part, mask in dealt[0]), "the leader always has a picture"


def test_random_numbers_differ_between_ranks_and_the_leaders_are_those_of_one_process():
    drawn = []
    for rank in range(3):
        torch.manual_seed(7)
        Team(rank=rank, size=3).draw_apart(7, 5)
        drawn.append(torch.rand(1).item())
    torch.manual_seed(7)
    assert drawn[0] == torch.rand(1).item()
    assert len(set(drawn)) == 3


def test_without_torchrun_there_is_one_process_and_nothing_is_opened(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with open_team(CPU) as team:
        assert (team.rank, team.size, team.is_leader) == (0, 1, True)
        assert not torch.distributed.is_initialized()
        model = UNet(1, 2, 4, 2)
        assert team.join(model) is model


def test_sync_batchnorm_is_refused_on_a_cpu_and_keeps_the_weights_names_elsewhere():
    model = UNet(1, 2, 4, 2)
    names = list(model.state_dict())
    with pytest.raises(ConfigError, match=r"CUDA devices only; this training is on cpu\. Leave --sync-batchnorm out"):
        with_sync_batchnorm(model, CPU)
    synced = with_sync_batchnorm(model, torch.device("cuda"))  # converting touches no device
    assert list(synced.state_dict()) == names
    assert sum(isinstance(module, torch.nn.SyncBatchNorm) for module in synced.modules()) == 10
