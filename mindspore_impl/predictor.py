"""A trained model from Python, in MindSpore: `Predictor(model, weights).run(image)`."""

from common import predictor
from mindspore_impl.wing import WING


class Predictor(predictor.Predictor):
    wing = WING
