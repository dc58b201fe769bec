"""A training step of Mask2Former in each wing: its terms with every number of segments and queries, and whole steps."""

import numpy as np
import pytest

from common.array import namespace
from common.families.mask2former.points import Points
from common.families.mask2former.training import compute_terms
from common.models import load_settings
from tests.wings.mask2former_batch import PADDED, training_batch

LAYERS = 1
PREDICTED = ("classes", "masks") * (LAYERS + 1)


def settings_of(queries):
    return load_settings(
        "mask2former_tiny", [f"network.queries={queries}", f"network.decoder_layers={LAYERS}", "losses.points=40"]
    )


def drawn_predictions(settings, images):
    """The class logits and the mask logits of each prediction, one array after the other."""
    queries, rng = settings.network.queries, np.random.RandomState(3)
    shapes = [(images, queries, settings.num_classes + 1), (images, queries, PADDED[0] // 4, PADDED[1] // 4)]
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(LAYERS + 1) for shape in shapes]


@pytest.mark.parametrize(
    ("queries", "counts"),
    [
        pytest.param(5, (3, 0), id="one image without segments"),
        pytest.param(5, (1,), id="one segment"),
        pytest.param(5, (0, 0), id="no segment"),
        pytest.param(2, (3, 1), id="more segments than queries"),
        pytest.param(1, (2, 1), id="one query"),
    ],
)
def test_terms_are_numpy_s_and_have_gradients(queries, counts, xp, like):
    settings = settings_of(queries)
    batch = training_batch(settings, range(len(counts)), counts)
    given = drawn_predictions(settings, len(counts))

    def terms(*arrays):
        ops = namespace(arrays[0])
        names = ("normaliser.masks", "normaliser.classes", "masks")
        own = {name: ops.asarray(batch[name], like=arrays[0]) for name in names}
        pairwise = list(zip(arrays[::2], arrays[1::2], strict=True))
        return compute_terms(pairwise, batch | own, Points(batch["host.seed"], settings.losses), settings)

    placed = [xp.asarray(array, like) for array in given]
    expected = terms(*given)
    for name, term in terms(*placed).items():
        assert xp.to_numpy(term).item() == pytest.approx(expected[name].item(), rel=1e-4, abs=1e-6), name
    _, gradients = xp.value_and_grad(lambda *arrays: sum(terms(*arrays).values()), *placed)
    for part, gradient in zip(PREDICTED, map(xp.to_numpy, gradients), strict=True):
        assert np.isfinite(gradient).all()
        used = np.abs(gradient).reshape(len(counts), queries, -1).max(axis=2) > 0
        # Every query learns whether it has a segment; the masks of those that have none are left alone.
        wanted = queries * np.ones_like(counts) if part == "classes" else np.minimum(counts, queries)
        assert used.sum(axis=1).tolist() == wanted.tolist()


@pytest.fixture(scope="module")
def learner(wing):
    settings = load_settings("mask2former_tiny", ["schedule.batch_size=3", "losses.points=100"])
    made = wing("learner").Learner(settings, "cpu", training=True)
    rng = np.random.RandomState(0)
    made.load_weights({name: _weight(name, shape, rng) for name, shape in sorted(made.shapes().items())})
    return made


def _weight(name, shape, rng):
    """A norm's scale is 1, and other weights give what they get in about its size."""
    if len(shape) == 1:
        return np.full(shape, 1.0 if name.endswith("weight") else 0.0, np.float32)
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


@pytest.mark.slow
def test_losses_fall_and_every_parameter_moves(learner):
    batch = training_batch(learner.settings)
    before = learner.weights()
    first = learner.train_step(batch, 1e-3)
    assert list(first) == list(learner.settings.loss_terms()) and np.isfinite(list(first.values())).all()
    for _ in range(5):
        last = learner.train_step(batch, 1e-3)
    assert sum(last.values()) < 0.9 * sum(first.values())
    after = learner.weights()
    assert [name for name in before if (before[name] == after[name]).all()] == []


@pytest.mark.slow
def test_two_ranks_sum_to_one(learner):
    whole = training_batch(learner.settings)
    shared = {name: whole[name] for name in whole if name.startswith("normaliser.")}
    losses, gradients = learner.gradients(whole)
    parts = [learner.gradients(training_batch(learner.settings, images) | shared) for images in ((2, 0), (1,))]
    for name, loss in losses.items():
        assert sum(each[name] for each, _ in parts) == pytest.approx(loss, rel=1e-3), name
    for name, gradient in gradients.items():
        summed = sum(each[name] for _, each in parts)
        np.testing.assert_allclose(summed, gradient, rtol=0, atol=1e-2 * max(np.abs(gradient).max(), 1e-3))


def test_an_image_that_is_no_number_leaves_the_weights_as_they_are(learner):
    batch = training_batch(learner.settings)
    batch["image"][0, :, :8] = np.nan
    before = learner.weights()
    losses = learner.train_step(batch, 1e-3)
    assert not all(map(np.isfinite, losses.values()))
    for name, value in learner.weights().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
