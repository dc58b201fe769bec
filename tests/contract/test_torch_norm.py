"""PyTorch's batch norm while it stands still, also with the eps of 0 that maskrcnn-benchmark and torchvision have."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from torch_impl import layers

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 3, 4))
STATE = {name: torch.tensor(RNG.uniform(0.5, 2.0, 5)) for name in ("weight", "bias", "running_mean", "running_var")}


@pytest.fixture(autouse=True)
def positive_eps(monkeypatch):
    """PyTorch 2.11 refuses others."""
    own = F.batch_norm

    def refusing(*arguments, eps, **options):
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive, but got {eps}")
        return own(*arguments, eps=eps, **options)

    monkeypatch.setattr(F, "batch_norm", refusing)


@pytest.mark.parametrize("eps", [0.0, 1e-5])
@pytest.mark.parametrize("kind", [layers.BatchNorm, layers.FrozenBatchNorm])
def test_a_norm_that_stands_still(kind, eps):
    norm = kind(5, eps).double()
    norm.load_state_dict(STATE)
    norm.train(kind.frozen)
    x = torch.tensor(X, requires_grad=True)
    mean, variance, scale, shift = (
        STATE[name].numpy()[:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    answer = norm(x)
    np.testing.assert_allclose(answer.detach(), (X - mean) / np.sqrt(variance + eps) * scale + shift, rtol=1e-12)
    answer.sum().backward()
    expected = np.broadcast_to(scale / np.sqrt(variance + eps), X.shape)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12)
    if not kind.frozen:
        standardised = ((X - mean) / np.sqrt(variance + eps)).sum((0, 2, 3))
        np.testing.assert_allclose(norm.weight.grad, standardised, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(norm.bias.grad, np.full(5, 24.0), rtol=1e-12)
