"""The optimizers in MindSpore's own operations, as it runs them where this project's kernels are not to be had."""

import pytest

from common import kernels
from tests.wings import test_learner as learners

samples = learners.samples


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [learners.sgd, learners.adamw], ids=lambda rule: rule.__name__)
def test_they_follow_their_formulas(rule, no_kernels, wing, samples):
    learners.test_optimizers_follow_their_formulas(rule, wing, samples)


@pytest.mark.slow
def test_each_gradient_is_clipped_by_itself(no_kernels, wing, samples):
    learners.test_each_gradient_is_clipped_by_itself(wing, samples)
