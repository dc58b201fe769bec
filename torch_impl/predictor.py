"""A trained model from Python, in PyTorch: `Predictor(model, weights).run(image)`."""

from common import predictor
from torch_impl.wing import WING


class Predictor(predictor.Predictor):
    wing = WING
