"""The facts that parity needs to compare Pose2Seg's models."""

from collections.abc import Mapping

import numpy as np

from common.families.parity import Arrays, Parity


def take_all_but_ids(batch: Mapping[str, np.ndarray], seed: int) -> Arrays:
    """The image and the persons of a batch for prediction."""
    return {name: values for name, values in batch.items() if name != "image_id"}


def balance_persons(weights: Arrays, stages: Mapping[str, np.ndarray]) -> Arrays:
    """Moves the background's bias, so that half of the persons' cells are theirs; of fresh weights all or none are."""
    background, person = np.moveaxis(stages["logits"], 1, 0)
    shift = np.array([np.median(person - background), 0.0], np.float32)
    return weights | {"segnet.pred_small.bias": weights["segnet.pred_small.bias"] + shift}


PARITY = Parity(stage_inputs=take_all_but_ids, enliven=balance_persons, steady_rate=1e-4)
