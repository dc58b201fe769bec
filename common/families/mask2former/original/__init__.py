"""facebookresearch/Mask2Former's configurations, for those who come from there.

A file, with those that it is based on, changes the original's defaults, and KEY VALUE pairs change the file. The files
for COCO are known by their names, too, where they are not at hand. What is not implemented is refused by its key.
"""

from common.families.config_files import ConfigFiles, split_pairs
from common.families.mask2former.original.files import Config, is_config, read_config
from common.families.mask2former.original.keys import KEYS

__all__ = ["CONFIG_FILES", "KEYS", "Config", "is_config", "read_config"]

CONFIG_FILES = ConfigFiles(
    original="Mask2Former",
    help="in place of MODEL a YAML file of Mask2Former, or the path alone of one that it has for COCO, changed by KEY"
    " VALUE pairs as its train_net and demo have them",
    recognise=is_config,
    read=read_config,
    split_pairs=split_pairs,
    path_of=lambda key: KEYS[key].path if key in KEYS else None,
    result_files={
        "panoptic": "predictions.json",
        "mask": "coco_instances_results.json",
        "semantic": "sem_seg_predictions.json",
    },
)
