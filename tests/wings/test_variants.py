"""Every variant in this wing: the converter's names and shapes, and instances found at the variant's own image size."""

import numpy as np
import pytest

from common.config import model_names
from common.models import load_settings
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, layout

# Those that differ from another variant in their schedule or size alone.
ENDINGS = ("_1x", "_3x", "_im400", "_im700", "_modelscope", "_instances", "_in21k")
ALIKE = [name for name in model_names() if name.endswith(ENDINGS)]


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in model_names()]
)
def test_names_and_shapes_are_the_converters(model, wing):
    settings = load_settings(model)
    assert wing("learner").Learner(settings, "cpu").shapes() == canonical_shapes(settings)


# The golden cases run the others; these two differ from yolact_base in the size alone.
@pytest.mark.slow
@pytest.mark.parametrize("model", ["yolact_im400", "yolact_im700"])
def test_finds_instances_at_its_own_size(model, wing):
    settings = load_settings(model)
    learner = wing("learner").Learner(settings, "cpu")
    weights = {e.canonical: golden.weight(e.original, e.shape) for e in layout(settings) if e.canonical}
    learner.load_weights(weights)
    size = settings.preprocessing.size
    (found,) = learner.predict({"image": golden.image(1, (1, 3, size, size)), "original_size": np.array([[60, 80]])})
    assert len(found) and found.masks.shape == (len(found), 60, 80)
    assert np.all(found.boxes >= 0) and np.all(found.boxes <= [80, 60, 80, 60])
