"""The optimizer is torch's AdamW to the bit, and does not load torch's compiler."""

import subprocess
import sys

import torch

from tests.conftest import ROOT
from unetlab.training.optimizer import AdamW

STEPS = (
    "import sys, torch\n"
    "from unetlab.training.optimizer import AdamW\n"
    "weight = torch.nn.Parameter(torch.ones(3))\n"
    "optimizer = AdamW([weight], fused=True)\n"
    "for _ in range(2):\n"
    "    weight.sum().backward()\n"
    "    optimizer.step()\n"
    "    optimizer.zero_grad()\n"
    "    optimizer.load_state_dict(optimizer.state_dict())\n"
    "assert weight.grad is None and (weight < 1).all()\n"
    "print('torch._dynamo' in sys.modules)\n"
)


def trained_weights(optimizer_class: type[torch.optim.AdamW]) -> list[torch.Tensor]:
    """Weights after six steps with two groups, a rate that changes and a state that is reloaded."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    optimizer = optimizer_class(
        [{"params": model[0].parameters(), "weight_decay": 0.1}, {"params": model[2].parameters()}],
        betas=(0.9, 0.99),
        fused=True,
    )
    for step in range(6):
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = 0.01 * (step + 1), (0.8 + 0.02 * step, 0.99)
        model(torch.randn(4, 5)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 2:
            optimizer.load_state_dict(optimizer.state_dict())
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_the_weights_are_those_of_torchs_adamw_to_the_bit():
    ours, theirs = trained_weights(AdamW), trained_weights(torch.optim.AdamW)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_step_loads_no_compiler():
    done = subprocess.run([sys.executable, "-c", STEPS], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
