"""maskrcnn-benchmark's configuration, for those who come from there.

A file changes the original's defaults, and KEY VALUE pairs change the file. What they ask for is told as overrides on
the variant that comes nearest; what is not implemented is refused by its key.
"""

from common.families.config_files import ConfigFiles, split_pairs
from common.families.mask_rcnn.maskrcnn_benchmark.files import Config, is_config, read_config
from common.families.mask_rcnn.maskrcnn_benchmark.keys import KEYS

__all__ = ["CONFIG_FILES", "KEYS", "Config", "is_config", "read_config"]

CONFIG_FILES = ConfigFiles(
    original="maskrcnn-benchmark",
    help="in place of MODEL a YAML file of maskrcnn-benchmark, changed by KEY VALUE pairs as its train_net and test_net"
    " have them",
    recognise=is_config,
    read=read_config,
    split_pairs=split_pairs,
    path_of=lambda key: KEYS[key].path if key in KEYS else None,
    result_files={"box": "bbox.json", "mask": "segm.json"},
)
