"""A trained model from Python, in PyTorch: `Predictor(model, weights).run(image)`."""

from common import predictor


class Predictor(predictor.Predictor):
    framework = "torch"
