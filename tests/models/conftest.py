"""One thread for all tests of networks."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """For networks this small more threads bring nothing, and on a busy machine they wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
