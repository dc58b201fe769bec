"""Weights that nobody dumped are solved for, where a layer was given enough to determine them."""

import numpy as np

from benchmarks.foreign.hypotheses.operations import Window

MOST_UNKNOWN = 700  # numbers for each channel of the answer
ROWS_PER_UNKNOWN = 4  # equations that are taken of those there are
_FEWEST_ROWS = 1.5
_DETERMINED = 1e-9  # the least singular value, relative to the largest, that determines a number in float32


def fit_kernel(
    x: np.ndarray, y: np.ndarray, window: Window, is_unique: bool = True
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight (O, C, h, w) and bias (O,) that bring x (N, C, H, W) nearest to y (N, O, H', W'); see fit_matrix."""
    channels, unknown = x.shape[1], x.shape[1] * window.kernel[0] * window.kernel[1]
    if unknown > MOST_UNKNOWN or y.size // y.shape[1] < _FEWEST_ROWS * (unknown + 1):
        return None
    seen = np.stack([patch for _, _, patch in window.taps(x)], axis=2)  # (N, C, taps, H', W')
    rows = np.moveaxis(seen, (1, 2), (3, 4)).reshape(-1, unknown)
    found = fit_matrix(rows, np.moveaxis(y, 1, -1).reshape(len(rows), -1), is_unique)
    if found is None:
        return None
    return found[0].reshape(-1, channels, *window.kernel), found[1]


def fit_matrix(rows: np.ndarray, answers: np.ndarray, is_unique: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight (O, I) and bias (O,) that bring rows (M, I) nearest to answers (M, O).

    None where the rows are too few to say anything. is_unique: also None where other numbers do as well, as they do for
    an input that is always zero.
    """
    count, unknown = len(rows), rows.shape[1]
    if unknown > MOST_UNKNOWN or count < _FEWEST_ROWS * (unknown + 1):
        return None
    taken = np.random.default_rng(0).permutation(count)[: ROWS_PER_UNKNOWN * (unknown + 1)]
    equations = np.concatenate([rows[taken], np.ones((len(taken), 1))], axis=1)
    solved, _, rank, values = np.linalg.lstsq(equations, answers[taken], rcond=None)
    if is_unique and (rank < unknown + 1 or values[-1] < _DETERMINED * values[0]):
        return None
    return solved[:-1].T, solved[-1]
