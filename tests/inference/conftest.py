"""The pictures and the small network of the training tests."""

from tests.training.conftest import import_pairs, make_learner, nuclei, one_thread  # noqa: F401  # fixtures
