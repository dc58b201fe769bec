"""A trained model from Python, in Jittor: `Predictor(model, weights).run(image)`."""

from common import predictor
from jittor_impl.wing import WING


class Predictor(predictor.Predictor):
    wing = WING
