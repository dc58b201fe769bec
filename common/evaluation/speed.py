"""How fast a trained model finds instances, image by image."""

import statistics
import time
from typing import Any

import numpy as np
from tqdm import tqdm

from common.training.randomness import stream

# The first images are not counted: with them the network is set up.
UNCOUNTED = 2

INSIDE = (
    "inside the timer: the network, the choice of detections, and their masks in the image's size, from a prepared"
    " image in memory to arrays in memory; outside: reading and resizing the image"
)


def time_images(learner: Any, samples: Any, positions: np.ndarray, score_threshold: float = 0.0) -> list[float]:
    """The seconds that prediction takes for each image alone, without the first ones, which are not counted.

    samples: of a family's `Inference`, which gives the images at these positions.
    """
    seconds = []
    for index in tqdm(positions.tolist(), desc="timing", unit="image", disable=None, leave=False):
        batch = samples.collate([samples(index, stream(0, index, "evaluation"))])
        batch.pop("image_id")
        began = time.perf_counter()
        learner.predict(batch, score_threshold)
        seconds.append(time.perf_counter() - began)
    return seconds[UNCOUNTED:] if len(seconds) > UNCOUNTED else seconds


def speed_lines(seconds: list[float], device: str) -> list[str]:
    """Two lines to print: how fast the images went by, and what was timed."""
    mean, median = statistics.fmean(seconds), statistics.median(seconds)
    return [
        f"{len(seconds)} images one by one on {device}: {1 / mean:.2f} images a second,"
        f" {1000 * mean:.1f} ms an image (median {1000 * median:.1f} ms)",
        INSIDE,
    ]
