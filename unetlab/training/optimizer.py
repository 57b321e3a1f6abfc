"""The optimizer of every training: torch's AdamW without a slow first step."""

from collections.abc import Callable
from typing import Any

import torch


def _undecorated(method: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(method, "__wrapped__", method)


class AdamW(torch.optim.AdamW):
    """torch.optim.AdamW, to the bit, without its wrappers for torch.compile.

    The first call of a wrapped method imports torch._dynamo, which takes almost as long as torch itself
    (docs/experiments.md, "A fresh worker's first step"). Nothing here is compiled.
    """

    add_param_group = _undecorated(torch.optim.AdamW.add_param_group)
    zero_grad = _undecorated(torch.optim.AdamW.zero_grad)
    state_dict = _undecorated(torch.optim.AdamW.state_dict)
    load_state_dict = _undecorated(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(_undecorated(torch.optim.AdamW.step))
