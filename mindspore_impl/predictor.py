"""A trained model from Python, in MindSpore: `Predictor(model, weights).run(image)`."""

from common import predictor


class Predictor(predictor.Predictor):
    framework = "mindspore"
