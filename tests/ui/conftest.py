"""What tests of pages share."""

import pytest

from unetlab.runs import launching
from unetlab.ui import memory_forecast


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a page starts none."""
    monkeypatch.setattr(launching, "warm_up", lambda workspace: None)
    monkeypatch.setattr(memory_forecast, "draw", lambda config, data: None)
