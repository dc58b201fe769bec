"""A trained model from Python, in Jittor: `Predictor(model, weights).run(image)`."""

from common import predictor


class Predictor(predictor.Predictor):
    framework = "jittor"
