"""How fast a trained model finds instances, image by image."""

import statistics
import time
from typing import Any

import numpy as np
from tqdm import tqdm

from common.training.randomness import stream

# The first images are not counted: the network is set up with them.
UNCOUNTED = 2

INSIDE = (
    "inside the timer: the network, the choice of detections, and their masks in the image's size, from a prepared"
    " image in memory to arrays in memory; outside: reading and resizing the image"
)


def time_images(
    learner: Any, samples: Any, positions: np.ndarray, score_threshold: float = 0.0, top_k: int | None = None
) -> list[float]:
    """Seconds that each of these images of a family's `Inference` takes alone, without those that are not counted."""
    seconds = []
    for index in tqdm(positions.tolist(), desc="timing", unit="image", disable=None, leave=False):
        batch = samples.collate([samples(index, stream(0, index, "evaluation"))])
        batch.pop("image_id")
        began = time.perf_counter()
        (found,) = learner.predict(batch, score_threshold)
        found[:top_k]
        seconds.append(time.perf_counter() - began)
    return seconds[UNCOUNTED:] if len(seconds) > UNCOUNTED else seconds


def speed_lines(seconds: list[float], device: str) -> list[str]:
    """What is printed of these times."""
    mean, median = statistics.fmean(seconds), statistics.median(seconds)
    return [
        f"{len(seconds)} images one by one on {device}: {1 / mean:.2f} images a second,"
        f" {1000 * mean:.1f} ms an image (median {1000 * median:.1f} ms)",
        INSIDE,
    ]
