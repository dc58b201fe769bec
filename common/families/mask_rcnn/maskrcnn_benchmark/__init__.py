"""maskrcnn-benchmark's configuration, for those who come from there.

A file changes the original's defaults, and KEY VALUE pairs change the file. What they ask for is told as overrides on
the variant that comes nearest; what is not implemented is refused by its key.
"""

from common.families.mask_rcnn.maskrcnn_benchmark.files import Config, is_config, read_config, split_pairs
from common.families.mask_rcnn.maskrcnn_benchmark.keys import KEYS

__all__ = ["KEYS", "Config", "is_config", "read_config", "split_pairs"]
