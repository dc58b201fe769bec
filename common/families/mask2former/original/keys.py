"""The keys of Mask2Former's configurations: their defaults, our settings, and what of them is implemented."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol


class Config(Protocol):
    """The facts of a configuration that the value of a key may depend on."""

    values: dict[str, Any]

    def refuse(self, key: str, reason: str) -> NoReturn: ...


@dataclass(frozen=True)
class Key:
    """The original's default, which also tells the type; our setting, where there is one; what becomes of the value.

    backbone: the one whose setting it is, of those that the original calls so; another's value is not looked at.
    """

    default: Any
    path: str | None = None
    convert: Callable[[Config, str], Any] | None = None
    backbone: str | None = None


def _only(*wanted: Any) -> Callable[[Config, str], None]:
    """The values that are implemented."""

    def check(config: Config, key: str) -> None:
        if config.values[key] not in wanted:
            known = " and ".join(map(repr, wanted))
            config.refuse(
                key, f"{config.values[key]!r} is not implemented, only {known} {'is' if len(wanted) == 1 else 'are'}"
            )

    return check


def _equal_to(other: str) -> Callable[[Config, str], None]:
    """One setting serves two keys."""

    def check(config: Config, key: str) -> None:
        if config.values[key] != config.values[other]:
            config.refuse(key, f"{config.values[key]!r} is implemented only where {other} is the same")

    return check


def _depths(config: Config, key: str) -> tuple[int, ...]:
    depths = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    if config.values[key] not in depths:
        config.refuse(key, f"{config.values[key]} is not implemented; there are {', '.join(map(str, depths))}")
    return depths[config.values[key]]


def _decoder_layers(config: Config, key: str) -> int:
    """The original counts the prediction of the bare queries."""
    if config.values[key] < 2:
        config.refuse(key, f"{config.values[key]} leaves no layer beside the prediction of the bare queries")
    return config.values[key] - 1


def _flip(config: Config, key: str) -> float:
    _only("horizontal", "none")(config, key)
    return 0.5 if config.values[key] == "horizontal" else 0.0


def _warmup_iterations(config: Config, key: str) -> int:
    """A warm-up that starts with the whole rate is none."""
    return 0 if config.values["SOLVER.WARMUP_FACTOR"] == 1 else config.values[key]


def _warmup_start(config: Config, key: str) -> float:
    return 0.0 if config.values[key] == 1 else config.values[key]


def _norm_decay(config: Config, key: str) -> bool:
    _only(0.0, config.values["SOLVER.WEIGHT_DECAY"])(config, key)
    return config.values[key] != 0


def _clip_norm(config: Config, key: str) -> float | None:
    section = "SOLVER.CLIP_GRADIENTS"
    if not config.values[f"{section}.ENABLED"]:
        return None
    _only("full_model")(config, f"{section}.CLIP_TYPE")
    _only(2.0)(config, f"{section}.NORM_TYPE")
    return config.values[key]


def _lower(config: Config, key: str) -> str:
    return config.values[key].lower()


BACKBONE, PANOPTIC = "MODEL.BACKBONE.NAME", "MODEL.MASK_FORMER.TEST.PANOPTIC_ON"
RESNET, SWIN = "build_resnet_backbone", "D2SwinTransformer"
_STAGES = ("res2", "res3", "res4", "res5")
_HEAD, _FORMER = "MODEL.SEM_SEG_HEAD", "MODEL.MASK_FORMER"

KEYS = {
    "MODEL.META_ARCHITECTURE": Key("GeneralizedRCNN", convert=_only("MaskFormer")),
    "MODEL.WEIGHTS": Key(""),
    "MODEL.DEVICE": Key("cuda"),
    "MODEL.PIXEL_MEAN": Key((103.53, 116.28, 123.675), "preprocessing.mean"),
    "MODEL.PIXEL_STD": Key((1.0, 1.0, 1.0), "preprocessing.deviation"),
    BACKBONE: Key(RESNET, convert=_only(RESNET, SWIN)),
    "MODEL.BACKBONE.FREEZE_AT": Key(2, convert=_only(0), backbone=RESNET),
    "MODEL.RESNETS.DEPTH": Key(50, "network.backbone.depths", _depths, RESNET),
    "MODEL.RESNETS.STEM_TYPE": Key("basic", convert=_only("basic"), backbone=RESNET),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": Key(64, "network.backbone.width", backbone=RESNET),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": Key(256, convert=_only(256), backbone=RESNET),
    "MODEL.RESNETS.STRIDE_IN_1X1": Key(
        True, "network.backbone.stride_in", lambda c, key: "1x1" if c.values[key] else "3x3", RESNET
    ),
    "MODEL.RESNETS.OUT_FEATURES": Key(("res4",), convert=_only(_STAGES), backbone=RESNET),
    "MODEL.RESNETS.NORM": Key("FrozenBN", convert=_only("FrozenBN"), backbone=RESNET),
    "MODEL.RESNETS.NUM_GROUPS": Key(1, "network.backbone.groups", backbone=RESNET),
    "MODEL.RESNETS.WIDTH_PER_GROUP": Key(64, "network.backbone.width_per_group", backbone=RESNET),
    "MODEL.RESNETS.RES5_DILATION": Key(1, convert=_only(1), backbone=RESNET),
    "MODEL.RESNETS.RES5_MULTI_GRID": Key((1, 1, 1), convert=_only((1, 1, 1)), backbone=RESNET),
    "MODEL.SWIN.PRETRAIN_IMG_SIZE": Key(224),  # of the absolute positions, which there are none of
    "MODEL.SWIN.PATCH_SIZE": Key(4, convert=_only(4), backbone=SWIN),
    "MODEL.SWIN.EMBED_DIM": Key(96, "network.backbone.width", backbone=SWIN),
    "MODEL.SWIN.DEPTHS": Key((2, 2, 6, 2), "network.backbone.depths", backbone=SWIN),
    "MODEL.SWIN.NUM_HEADS": Key((3, 6, 12, 24), "network.backbone.heads", backbone=SWIN),
    "MODEL.SWIN.WINDOW_SIZE": Key(7, "network.backbone.window", backbone=SWIN),
    "MODEL.SWIN.MLP_RATIO": Key(4.0, convert=_only(4.0), backbone=SWIN),
    "MODEL.SWIN.QKV_BIAS": Key(True, convert=_only(True), backbone=SWIN),
    "MODEL.SWIN.DROP_RATE": Key(0.0, convert=_only(0.0), backbone=SWIN),
    "MODEL.SWIN.ATTN_DROP_RATE": Key(0.0, convert=_only(0.0), backbone=SWIN),
    "MODEL.SWIN.DROP_PATH_RATE": Key(0.3, "network.drop_path", backbone=SWIN),
    "MODEL.SWIN.APE": Key(False, convert=_only(False), backbone=SWIN),
    "MODEL.SWIN.PATCH_NORM": Key(True, convert=_only(True), backbone=SWIN),
    "MODEL.SWIN.OUT_FEATURES": Key(_STAGES, convert=_only(_STAGES), backbone=SWIN),
    "MODEL.SWIN.USE_CHECKPOINT": Key(False),  # memory alone depends on it
    f"{_HEAD}.NAME": Key("SemSegFPNHead", convert=_only("MaskFormerHead")),
    f"{_HEAD}.IN_FEATURES": Key(("p2", "p3", "p4", "p5"), convert=_only(_STAGES)),
    f"{_HEAD}.IGNORE_VALUE": Key(255),  # this one and LOSS_WEIGHT: the head does not look at them
    f"{_HEAD}.LOSS_WEIGHT": Key(1.0),
    f"{_HEAD}.NUM_CLASSES": Key(54, "num_classes"),
    f"{_HEAD}.CONVS_DIM": Key(128, convert=_equal_to(f"{_FORMER}.HIDDEN_DIM")),
    f"{_HEAD}.MASK_DIM": Key(256, convert=_equal_to(f"{_FORMER}.HIDDEN_DIM")),
    f"{_HEAD}.NORM": Key("GN", convert=_only("GN")),
    f"{_HEAD}.PIXEL_DECODER_NAME": Key("BasePixelDecoder", convert=_only("MSDeformAttnPixelDecoder")),
    f"{_HEAD}.COMMON_STRIDE": Key(4, convert=_only(4)),
    f"{_HEAD}.TRANSFORMER_ENC_LAYERS": Key(0, "network.encoder_layers"),
    f"{_HEAD}.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES": Key(_STAGES[1:], convert=_only(_STAGES[1:])),
    f"{_HEAD}.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS": Key(4, "network.points"),
    f"{_HEAD}.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS": Key(8, convert=_equal_to(f"{_FORMER}.NHEADS")),
    f"{_FORMER}.TRANSFORMER_DECODER_NAME": Key(
        "MultiScaleMaskedTransformerDecoder", convert=_only("MultiScaleMaskedTransformerDecoder")
    ),
    f"{_FORMER}.TRANSFORMER_IN_FEATURE": Key("res5", convert=_only("multi_scale_pixel_decoder")),
    f"{_FORMER}.DEEP_SUPERVISION": Key(True, convert=_only(True)),
    f"{_FORMER}.NO_OBJECT_WEIGHT": Key(0.1, "losses.no_object_weight"),
    f"{_FORMER}.CLASS_WEIGHT": Key(1.0, "losses.class_weight"),
    f"{_FORMER}.MASK_WEIGHT": Key(20.0, "losses.mask_weight"),
    f"{_FORMER}.DICE_WEIGHT": Key(1.0, "losses.dice_weight"),
    f"{_FORMER}.HIDDEN_DIM": Key(256, "network.channels"),
    f"{_FORMER}.NUM_OBJECT_QUERIES": Key(100, "network.queries"),
    f"{_FORMER}.NHEADS": Key(8, "network.heads"),
    f"{_FORMER}.DROPOUT": Key(0.1, convert=_only(0.0)),
    f"{_FORMER}.DIM_FEEDFORWARD": Key(2048, "network.decoder_width"),
    f"{_FORMER}.ENC_LAYERS": Key(0),  # of the original's other decoders
    f"{_FORMER}.DEC_LAYERS": Key(6, "network.decoder_layers", _decoder_layers),
    f"{_FORMER}.PRE_NORM": Key(False, convert=_only(False)),
    f"{_FORMER}.ENFORCE_INPUT_PROJ": Key(False, convert=_only(False)),
    f"{_FORMER}.SIZE_DIVISIBILITY": Key(32, "preprocessing.pad_multiple"),
    f"{_FORMER}.TRAIN_NUM_POINTS": Key(12544, "losses.points"),
    f"{_FORMER}.OVERSAMPLE_RATIO": Key(3.0, "losses.oversampling"),
    f"{_FORMER}.IMPORTANCE_SAMPLE_RATIO": Key(0.75, "losses.importance"),
    f"{_FORMER}.TEST.SEMANTIC_ON": Key(True),  # all that a model can give it gives
    f"{_FORMER}.TEST.INSTANCE_ON": Key(False),
    PANOPTIC: Key(False, "task", lambda c, key: "panoptic" if c.values[key] else "instances"),
    f"{_FORMER}.TEST.OVERLAP_THRESHOLD": Key(0.0, "detection.overlap_threshold"),
    f"{_FORMER}.TEST.OBJECT_MASK_THRESHOLD": Key(0.0, "detection.object_threshold"),
    f"{_FORMER}.TEST.SEM_SEG_POSTPROCESSING_BEFORE_INFERENCE": Key(False, convert=_only(False)),
    "DATASETS.TRAIN": Key(()),
    "DATASETS.TEST": Key(()),
    "DATALOADER.NUM_WORKERS": Key(4),
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": Key(True, convert=_only(True)),
    "DATALOADER.ASPECT_RATIO_GROUPING": Key(True),  # squares have one aspect
    "INPUT.FORMAT": Key("BGR", "preprocessing.channel_order", _lower),
    "INPUT.IMAGE_SIZE": Key(1024, "augmentation.size"),
    "INPUT.MIN_SCALE": Key(0.1, "augmentation.smallest"),
    "INPUT.MAX_SCALE": Key(2.0, "augmentation.largest"),
    "INPUT.RANDOM_FLIP": Key("horizontal", "augmentation.flip", _flip),
    "INPUT.MIN_SIZE_TEST": Key(800, "preprocessing.short_side"),
    "INPUT.MAX_SIZE_TEST": Key(1333, "preprocessing.long_side"),
    "INPUT.DATASET_MAPPER_NAME": Key("mask_former_semantic", convert=_only("coco_panoptic_lsj", "coco_instance_lsj")),
    "SOLVER.LR_SCHEDULER_NAME": Key("WarmupMultiStepLR", convert=_only("WarmupMultiStepLR")),
    "SOLVER.OPTIMIZER": Key("ADAMW", "schedule.optimizer", _lower),
    "SOLVER.IMS_PER_BATCH": Key(16, "schedule.batch_size"),
    "SOLVER.MAX_ITER": Key(40000, "schedule.iterations"),
    "SOLVER.STEPS": Key((30000,), "schedule.steps"),
    "SOLVER.GAMMA": Key(0.1, "schedule.gamma"),
    "SOLVER.BASE_LR": Key(0.001, "schedule.learning_rate"),
    "SOLVER.BACKBONE_MULTIPLIER": Key(0.1, "schedule.backbone_rate"),
    "SOLVER.MOMENTUM": Key(0.9, "schedule.momentum"),
    "SOLVER.WEIGHT_DECAY": Key(0.0001, "schedule.weight_decay"),
    "SOLVER.WEIGHT_DECAY_NORM": Key(0.0, "schedule.norm_decay", _norm_decay),
    "SOLVER.WEIGHT_DECAY_EMBED": Key(0.0, convert=_only(0.0)),
    "SOLVER.WARMUP_METHOD": Key("linear", "schedule.warmup"),
    "SOLVER.WARMUP_FACTOR": Key(0.001, "schedule.warmup_start", _warmup_start),
    "SOLVER.WARMUP_ITERS": Key(1000, "schedule.warmup_iterations", _warmup_iterations),
    "SOLVER.CLIP_GRADIENTS.ENABLED": Key(False),  # CLIP_VALUE looks at this one and its two neighbours
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": Key("value"),
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": Key(2.0),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": Key(1.0, "schedule.clip_norm", _clip_norm),
    "SOLVER.AMP.ENABLED": Key(False),  # training computes in float32
    "SOLVER.CHECKPOINT_PERIOD": Key(5000, "schedule.checkpoint_every"),
    "TEST.EVAL_PERIOD": Key(0, "schedule.evaluate_every"),
    "TEST.DETECTIONS_PER_IMAGE": Key(100, "detection.max_detections"),
    "TEST.AUG.ENABLED": Key(False, convert=_only(False)),
    "OUTPUT_DIR": Key("./output"),
    "SEED": Key(-1),
    "VERSION": Key(2),
    "CUDNN_BENCHMARK": Key(False),
    "VIS_PERIOD": Key(0),
}
# Sections that detectron2's other models look at, or the original's other data sets.
OF_OTHER_MODELS = re.compile(
    r"MODEL\.(RPN|ROI_\w+|FPN|RETINANET|ANCHOR_GENERATOR|PROPOSAL_GENERATOR|PANOPTIC_FPN)\."
    r"|MODEL\.(MASK_ON|KEYPOINT_ON|LOAD_PROPOSALS)$|TEST\.(AUG|PRECISE_BN)\.(?!ENABLED)"
    r"|INPUT\.(CROP\.|COLOR_AUG_SSD|SIZE_DIVISIBILITY|(MIN|MAX)_SIZE_TRAIN|MASK_FORMAT)"
)
