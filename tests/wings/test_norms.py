"""Batch norm in training: each wing's statistics and gradients on large maps, against float64."""

import numpy as np
import pytest

RNG = np.random.default_rng(0)
SHAPE = (2, 8, 256, 256)
# As behind a ReLU, and far from 0 in some channels: numbers that lose digits when they are added up one by one.
X = np.maximum(RNG.standard_normal(SHAPE) * 2 + RNG.normal(size=(1, 8, 1, 1)) * 2, 0).astype(np.float32)
GRADIENT = RNG.standard_normal(SHAPE).astype(np.float32)
EPS = 1e-5


@pytest.fixture
def norm(wing):
    made = wing("layers").BatchNorm(SHAPE[1], EPS)
    (made.set_train if hasattr(made, "set_train") else made.train)()
    return made


def of_channels(x: np.ndarray) -> np.ndarray:
    """The mean of each channel, to be set against (N, C, H, W)."""
    return x.mean((0, 2, 3), dtype=np.float64)[:, None, None]


@pytest.mark.compiled
def test_a_norm_adds_up_large_maps_precisely(norm, xp, like):
    exact, gradient = X.astype(np.float64), GRADIENT.astype(np.float64)
    deviation = np.sqrt(of_channels((exact - of_channels(exact)) ** 2) + EPS)
    expected = (exact - of_channels(exact)) / deviation
    by_x = (gradient - of_channels(gradient) - expected * of_channels(gradient * expected)) / deviation
    weights = xp.asarray(GRADIENT, like)
    answer = xp.to_numpy(norm(xp.asarray(X, like)))
    _, (found,) = xp.value_and_grad(lambda x: xp.sum(norm(x) * weights), xp.asarray(X, like))
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(xp.to_numpy(found), by_x, rtol=0, atol=1e-5 * np.abs(by_x).max())


def test_a_tenth_of_each_batch_goes_into_the_statistics(norm, xp, like):
    norm(xp.asarray(X, like))
    mean, variance = (
        xp.to_numpy(next(getattr(norm, name) for name in names if hasattr(norm, name)))
        for names in (("running_mean", "moving_mean"), ("running_var", "moving_variance"))
    )
    count = X.size // SHAPE[1]
    np.testing.assert_allclose(mean, 0.1 * of_channels(X)[:, 0, 0], rtol=1e-6)
    unbiased = X.var((0, 2, 3), dtype=np.float64) * count / (count - 1)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * unbiased, rtol=1e-6)
