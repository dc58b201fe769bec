"""A wing's learner with the golden cases' rule for weights, for any variant."""

from collections.abc import Sequence
from typing import Any

from common.models import load_settings
from tests.goldens import golden


def golden_learner(wing: Any, model: str, overrides: Sequence[str]) -> Any:
    learner = wing("learner").Learner(load_settings(model, overrides), "cpu")
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    return learner
