"""The Jittor wing as the commands and `Predictor` are handed it. Importing this imports no framework."""

from common.wing import Wing
from weights_convert import fit_for_training, model_of, open_weights


def load_learner() -> type:
    """The wing's `Learner`; says what to install where the framework is missing."""
    from jittor_impl.learner import Learner

    return Learner


WING = Wing("jittor", load_learner, model_of, open_weights, fit_for_training)
