"""What Mask2Former's published configuration files for COCO say, of what is not the original's default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.families.mask2former.original.keys import BACKBONE, PANOPTIC, SWIN

_STAGES = ("res2", "res3", "res4", "res5")
_HEAD, _FORMER = "MODEL.SEM_SEG_HEAD", "MODEL.MASK_FORMER"
_OF_ALL = {
    "MODEL.META_ARCHITECTURE": "MaskFormer",
    "MODEL.WEIGHTS": "detectron2://ImageNetPretrained/torchvision/R-50.pkl",
    "MODEL.PIXEL_MEAN": (123.675, 116.28, 103.53),
    "MODEL.PIXEL_STD": (58.395, 57.12, 57.375),
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.OUT_FEATURES": _STAGES,
    f"{_HEAD}.NAME": "MaskFormerHead",
    f"{_HEAD}.IN_FEATURES": _STAGES,
    f"{_HEAD}.CONVS_DIM": 256,
    f"{_HEAD}.PIXEL_DECODER_NAME": "MSDeformAttnPixelDecoder",
    f"{_HEAD}.TRANSFORMER_ENC_LAYERS": 6,
    f"{_FORMER}.TRANSFORMER_IN_FEATURE": "multi_scale_pixel_decoder",
    f"{_FORMER}.CLASS_WEIGHT": 2.0,
    f"{_FORMER}.MASK_WEIGHT": 5.0,
    f"{_FORMER}.DICE_WEIGHT": 5.0,
    f"{_FORMER}.DROPOUT": 0.0,
    f"{_FORMER}.DEC_LAYERS": 10,
    f"{_FORMER}.TEST.INSTANCE_ON": True,
    f"{_FORMER}.TEST.OVERLAP_THRESHOLD": 0.8,
    f"{_FORMER}.TEST.OBJECT_MASK_THRESHOLD": 0.8,
    "INPUT.FORMAT": "RGB",
    "SOLVER.MAX_ITER": 368750,
    "SOLVER.STEPS": (327778, 355092),
    "SOLVER.BASE_LR": 0.0001,
    "SOLVER.WEIGHT_DECAY": 0.05,
    "SOLVER.WARMUP_FACTOR": 1.0,
    "SOLVER.WARMUP_ITERS": 10,
    "SOLVER.CLIP_GRADIENTS.ENABLED": True,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "full_model",
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 0.01,
    "SOLVER.AMP.ENABLED": True,
    "TEST.EVAL_PERIOD": 5000,
}
_OF_TASKS = {
    "panoptic": {
        f"{_HEAD}.NUM_CLASSES": 133,
        PANOPTIC: True,
        "DATASETS.TRAIN": ("coco_2017_train_panoptic",),
        "DATASETS.TEST": ("coco_2017_val_panoptic_with_sem_seg",),
        "INPUT.DATASET_MAPPER_NAME": "coco_panoptic_lsj",
    },
    "instances": {
        f"{_HEAD}.NUM_CLASSES": 80,
        PANOPTIC: False,
        "DATASETS.TRAIN": ("coco_2017_train",),
        "DATASETS.TEST": ("coco_2017_val",),
        "INPUT.DATASET_MAPPER_NAME": "coco_instance_lsj",
    },
}


def _swin(weights: str, **sizes: Any) -> dict[str, Any]:
    return {BACKBONE: SWIN, "MODEL.WEIGHTS": f"{weights}.pkl"} | {f"MODEL.SWIN.{key}": sizes[key] for key in sizes}


_DEEP = {"DEPTHS": (2, 2, 18, 2)}
_BASE = {**_DEEP, "EMBED_DIM": 128, "NUM_HEADS": (4, 8, 16, 32), "WINDOW_SIZE": 12, "PRETRAIN_IMG_SIZE": 384}
_LARGE = {**_BASE, "EMBED_DIM": 192, "NUM_HEADS": (6, 12, 24, 48)}
# The variant that each file's model is here, and what the file says by itself.
_FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "maskformer2_R50_bs16_50ep": ("r50", {}),
    "maskformer2_R101_bs16_50ep": ("r101", {"MODEL.WEIGHTS": "R-101.pkl", "MODEL.RESNETS.DEPTH": 101}),
    "maskformer2_swin_tiny_bs16_50ep": ("swin_t", _swin("swin_tiny_patch4_window7_224")),
    "maskformer2_swin_small_bs16_50ep": ("swin_s", _swin("swin_small_patch4_window7_224", **_DEEP)),
    "maskformer2_swin_base_384_bs16_50ep": ("swin_b", _swin("swin_base_patch4_window12_384", **_BASE)),
    "maskformer2_swin_base_IN21k_384_bs16_50ep": (
        "swin_b_in21k",
        _swin("swin_base_patch4_window12_384_22k", **_BASE),
    ),
    "maskformer2_swin_large_IN21k_384_bs16_100ep": (
        "swin_l",
        {
            **_swin("swin_large_patch4_window12_384_22k", **_LARGE),
            f"{_FORMER}.NUM_OBJECT_QUERIES": 200,
            "SOLVER.MAX_ITER": 737500,
            "SOLVER.STEPS": (655556, 710184),
        },
    ),
}
# Those that training starts from.
STARTS = frozenset(Path((_OF_ALL | says)["MODEL.WEIGHTS"]).name for _, says in _FILES.values())


def is_published(path: Path) -> bool:
    """Whether a file has the name of a published one for COCO."""
    return path.stem in _FILES


def variant_of(name: str, panoptic: bool) -> str:
    """The variant that a published file's model is here, by the file's name."""
    return f"mask2former_{_FILES[name][0]}{'' if panoptic else '_instances'}"


def values_of(path: Path) -> Mapping[str, Any]:
    """What a published file says, with those that it is based on.

    The files for instances have the same names as those for panoptic segmentation, and a folder of their own.
    """
    task = "instances" if "instance-segmentation" in path.parts else "panoptic"
    return _OF_ALL | _OF_TASKS[task] | _FILES[path.stem][1]
