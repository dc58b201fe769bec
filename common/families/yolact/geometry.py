"""Makes YOLACT's prior boxes, and gives the sizes of the network's grids."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from common.families.yolact.settings import YolactSettings

# The reciprocals of SSD's variances 0.1 and 0.2: the weights of a box's offsets from its prior.
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# Masks count in the box and this many cells of the prototype grid around it.
CROP_MARGIN = 1


@dataclass(frozen=True)
class Geometry:
    """The priors, and the sizes (height, width) of the prototypes' and the semantic branch's grids, for one image size.

    priors: (P, 4) float32 centre x, centre y, width, height as shares of the image's sides.
    """

    priors: np.ndarray
    prototypes: tuple[int, int]
    semantic: tuple[int, int]

    @staticmethod
    @cache
    def of(settings: YolactSettings) -> "Geometry":
        """Makes the geometry for images of the settings' size."""
        size = settings.preprocessing.size
        finest = _grid_sizes((size, size))[0]
        return Geometry(make_priors(settings), (2 * finest[0], 2 * finest[1]), finest)


def make_priors(settings: YolactSettings, image_size: tuple[int, int] | None = None) -> np.ndarray:
    """Makes the priors (P, 4) float32 centre x, centre y, width, height, as shares of the image's sides.

    Their order is the network's: level, row, column, scale, ratio. image_size: (height, width) of the network's input,
    by default the settings' size. Widths and heights are always shares of the settings' size, as in the original.
    """
    size = settings.preprocessing.size
    levels = []
    for grid, scales in zip(_grid_sizes(image_size or (size, size)), settings.network.prior_scales, strict=True):
        y, x = ((np.arange(count) + 0.5) / count for count in grid)
        roots = np.sqrt(settings.network.prior_ratios)
        widths = np.outer(scales, roots).reshape(-1) / size
        heights = widths if settings.network.square_priors else np.outer(scales, 1 / roots).reshape(-1) / size
        shape = (*grid, len(widths))
        parts = (x[None, :, None], y[:, None, None], widths, heights)
        levels.append(np.stack([np.broadcast_to(part, shape) for part in parts], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def _grid_sizes(image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the sizes (height, width) of the levels P3 to P7: every layer of stride 2 halves and rounds up."""
    return [tuple(-(-side // 2**level) for side in image_size) for level in range(3, 8)]
