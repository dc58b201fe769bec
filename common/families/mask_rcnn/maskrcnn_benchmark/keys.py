"""The keys of maskrcnn-benchmark's configurations: their defaults, our settings, and what of them is implemented."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol


class Config(Protocol):
    """The facts of a configuration that the value of a key may depend on."""

    values: dict[str, Any]

    @property
    def pyramid(self) -> bool: ...
    def refuse(self, key: str, reason: str) -> NoReturn: ...


def _only(with_pyramid: Any, without: Any = None) -> Callable[[Config, str], None]:
    """The one value that is implemented, and that of a model without a pyramid where it is another."""

    def check(config: Config, key: str) -> None:
        wanted = with_pyramid if config.pyramid or without is None else without
        if config.values[key] != wanted:
            body = f" with CONV_BODY {config.values[BODY]}" if without is not None else ""
            config.refuse(key, f"{config.values[key]!r} is not implemented{body}, only {wanted!r} is")

    return check


def _equal_to(other: str) -> Callable[[Config, str], None]:
    """One setting serves two keys."""

    def check(config: Config, key: str) -> None:
        if config.values[key] != config.values[other]:
            config.refuse(key, f"{config.values[key]!r} is implemented only where {other} is the same")

    return check


BODY = "MODEL.BACKBONE.CONV_BODY"
_DEPTHS = {"R-50": [3, 4, 6, 3], "R-101": [3, 4, 23, 3], "R-152": [3, 8, 36, 3]}
_BODIES = ("R-50-C4", "R-101-C4", "R-50-FPN", "R-101-FPN", "R-152-FPN")


def _body(config: Config, key: str) -> tuple[int, ...]:
    if config.values[key] not in _BODIES:
        config.refuse(key, f"{config.values[key]} is not implemented; there are {', '.join(_BODIES)}")
    return tuple(_DEPTHS[config.values[key].rpartition("-")[0]])


def _device(config: Config, key: str) -> None:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", config.values[key]):
        config.refuse(key, f"{config.values[key]} is not implemented, only cpu and cuda are")


def _frozen(config: Config, key: str) -> int:
    if config.values[key] > 4:
        config.refuse(key, f"{config.values[key]} is not implemented, only up to 4 are")
    return max(config.values[key], 0)


def _pixels(config: Config, key: str) -> tuple[float, ...]:
    """Statistics on 0..255; without TO_BGR255 the original has them on 0..1."""
    scale = 1 if config.values["INPUT.TO_BGR255"] else 255
    return tuple(value * scale for value in config.values[key])


def _short_sides(config: Config, key: str) -> tuple[int, ...]:
    sides = config.values[key]
    return () if sides == (config.values["INPUT.MIN_SIZE_TEST"],) else sides


def _long_side(config: Config, key: str) -> int | None:
    side = config.values[key]
    return None if side == config.values["INPUT.MAX_SIZE_TEST"] else side


def _padding(config: Config, key: str) -> int:
    multiple = max(config.values[key], 1)
    if config.pyramid and multiple % 32:
        config.refuse(key, f"{config.values[key]} is not implemented with a pyramid, which needs a multiple of 32")
    return multiple


def _anchor_sizes(config: Config, key: str) -> tuple[tuple[float, ...], ...]:
    sizes = config.values[key]
    if not config.pyramid:
        return (sizes,)
    if len(sizes) != 5:
        config.refuse(key, f"{sizes!r} is not implemented; a pyramid has 5 maps, each with a size")
    return tuple((size,) for size in sizes)


def _all_levels(config: Config, key: str) -> int:
    """Reads the number of proposals over all maps; without a pyramid it is what the one map keeps after NMS."""
    return config.values[key if config.pyramid else key.replace("FPN_POST", "POST")]


def _proposals_to_train(config: Config, key: str) -> int:
    """Divides what the original counts over a GPU's images by their number; a batch is that of 8 GPUs, or of one."""
    images = config.values["SOLVER.IMS_PER_BATCH"]
    if not _over_batch(config, "MODEL.RPN.FPN_POST_NMS_PER_BATCH"):
        return _all_levels(config, key)
    return config.values[key] // (images if images % 8 else images // 8)


def _over_batch(config: Config, key: str) -> bool:
    return config.values[key] and config.pyramid


def _classes(config: Config, key: str) -> int:
    if config.values[key] < 2:
        config.refuse(key, f"{config.values[key]} leaves no class beside the background")
    return config.values[key] - 1


def _channels(config: Config, key: str) -> int:
    layers = config.values["MODEL.ROI_MASK_HEAD.CONV_LAYERS"]
    if config.pyramid:
        _mask_layers(config, key)
        return config.values[key]
    _only(1024)(config, key)
    return layers[-1] if layers else 0


def _mask_layers(config: Config, key: str) -> None:
    channels = config.values["MODEL.RESNETS.BACKBONE_OUT_CHANNELS"]
    if config.pyramid and config.values["MODEL.ROI_MASK_HEAD.CONV_LAYERS"] != (channels,) * 4:
        config.refuse(key, "implemented only where CONV_LAYERS are four, each of BACKBONE_OUT_CHANNELS")


def _mask_resolution(config: Config, key: str) -> None:
    head = "MODEL.ROI_MASK_HEAD" if config.pyramid else "MODEL.ROI_BOX_HEAD"
    wanted = config.values[f"{head}.POOLER_RESOLUTION"] * (2 if config.pyramid else 1)
    if config.values[key] != wanted:
        config.refuse(key, f"{config.values[key]} is not what the mask head puts out, which is {wanted}")


def _warmup(config: Config, key: str) -> str:
    if config.values[key] not in ("linear", "constant"):
        config.refuse(key, f"{config.values[key]!r} is not implemented, only 'linear' and 'constant' are")
    return config.values[key]


def _bias_decay(config: Config, key: str) -> bool:
    if config.values[key] not in (0, config.values["SOLVER.WEIGHT_DECAY"]):
        config.refuse(key, f"{config.values[key]} is implemented only where it is 0 or the same as WEIGHT_DECAY")
    return config.values[key] != 0


@dataclass(frozen=True)
class Key:
    """The original's default, which also tells the type; our setting, where there is one; what becomes of the value."""

    default: Any
    path: str | None = None
    convert: Callable[[Config, str], Any] | None = None


_SCALES = (0.25, 0.125, 0.0625, 0.03125)
KEYS = {
    "MODEL.MASK_ON": Key(False, convert=_only(True)),
    "MODEL.RPN_ONLY": Key(False, convert=_only(False)),
    "MODEL.RETINANET_ON": Key(False, convert=_only(False)),
    "MODEL.KEYPOINT_ON": Key(False, convert=_only(False)),
    "MODEL.FCOS_ON": Key(False, convert=_only(False)),  # this one and the next two: of the original's Jittor port
    "MODEL.EMBED_MASK_ON": Key(False, convert=_only(False)),
    "MODEL.MASKIOU_ON": Key(False, convert=_only(False)),
    "MODEL.DEVICE": Key("cuda", convert=_device),
    "MODEL.META_ARCHITECTURE": Key("GeneralizedRCNN", convert=_only("GeneralizedRCNN")),
    "MODEL.CLS_AGNOSTIC_BBOX_REG": Key(False, convert=_only(False)),
    "MODEL.WEIGHT": Key(""),
    "INPUT.MIN_SIZE_TRAIN": Key((800,), "augmentation.short_sides", _short_sides),
    "INPUT.MAX_SIZE_TRAIN": Key(1333, "augmentation.long_side", _long_side),
    "INPUT.MIN_SIZE_TEST": Key(800, "preprocessing.short_side"),
    "INPUT.MAX_SIZE_TEST": Key(1333, "preprocessing.long_side"),
    "INPUT.PIXEL_MEAN": Key((102.9801, 115.9465, 122.7717), "preprocessing.mean", _pixels),
    "INPUT.PIXEL_STD": Key((1.0, 1.0, 1.0), "preprocessing.deviation", _pixels),
    "INPUT.TO_BGR255": Key(True, "preprocessing.channel_order", lambda c, key: "bgr" if c.values[key] else "rgb"),
    "INPUT.BRIGHTNESS": Key(0.0, "augmentation.brightness"),
    "INPUT.CONTRAST": Key(0.0, "augmentation.contrast"),
    "INPUT.SATURATION": Key(0.0, "augmentation.saturation"),
    "INPUT.HUE": Key(0.0, "augmentation.hue"),
    "INPUT.HORIZONTAL_FLIP_PROB_TRAIN": Key(0.5, "augmentation.flip"),
    "INPUT.VERTICAL_FLIP_PROB_TRAIN": Key(0.0, "augmentation.vertical_flip"),
    "DATASETS.TRAIN": Key(()),
    "DATASETS.TEST": Key(()),
    "DATALOADER.NUM_WORKERS": Key(4),
    "DATALOADER.SIZE_DIVISIBILITY": Key(0, "preprocessing.pad_multiple", _padding),
    "DATALOADER.ASPECT_RATIO_GROUPING": Key(True),  # which images meet in a batch; less padding is all that it gives
    BODY: Key("R-50-C4", "network.backbone.depths", _body),
    "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": Key(2, "network.frozen_stages", _frozen),
    "MODEL.FPN.USE_GN": Key(False, convert=_only(False)),
    "MODEL.FPN.USE_RELU": Key(False, convert=_only(False)),
    "MODEL.RESNETS.NUM_GROUPS": Key(1, "network.backbone.groups"),
    "MODEL.RESNETS.WIDTH_PER_GROUP": Key(64, "network.backbone.width_per_group"),
    "MODEL.RESNETS.STRIDE_IN_1X1": Key(
        True, "network.backbone.stride_in", lambda c, key: "1x1" if c.values[key] else "3x3"
    ),
    "MODEL.RESNETS.TRANS_FUNC": Key("BottleneckWithFixedBatchNorm", convert=_only("BottleneckWithFixedBatchNorm")),
    "MODEL.RESNETS.STEM_FUNC": Key("StemWithFixedBatchNorm", convert=_only("StemWithFixedBatchNorm")),
    "MODEL.RESNETS.RES5_DILATION": Key(1, convert=_only(1)),
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": Key(1024, "network.channels", _channels),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": Key(256, convert=_only(256)),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": Key(64, convert=_only(64)),
    "MODEL.RESNETS.STAGE_WITH_DCN": Key((False,) * 4, convert=_only((False,) * 4)),
    "MODEL.RESNETS.WITH_MODULATED_DCN": Key(False),
    "MODEL.RESNETS.DEFORMABLE_GROUPS": Key(1),
    "MODEL.RPN.USE_FPN": Key(False, convert=_only(True, False)),
    "MODEL.RPN.ANCHOR_SIZES": Key((32.0, 64.0, 128.0, 256.0, 512.0), "rpn.anchor_sizes", _anchor_sizes),
    "MODEL.RPN.ANCHOR_STRIDE": Key((16,), convert=_only((4, 8, 16, 32, 64), (16,))),
    "MODEL.RPN.ASPECT_RATIOS": Key((0.5, 1.0, 2.0), "rpn.anchor_ratios"),
    "MODEL.RPN.STRADDLE_THRESH": Key(0, convert=_only(0)),
    "MODEL.RPN.FG_IOU_THRESHOLD": Key(0.7, "losses.rpn_positive_iou"),
    "MODEL.RPN.BG_IOU_THRESHOLD": Key(0.3, "losses.rpn_negative_iou"),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": Key(256, "losses.anchors_per_image"),
    "MODEL.RPN.POSITIVE_FRACTION": Key(0.5, "losses.positive_anchors"),
    "MODEL.RPN.PRE_NMS_TOP_N_TRAIN": Key(12000, "rpn.training.before_nms"),
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": Key(6000, "rpn.inference.before_nms"),
    "MODEL.RPN.POST_NMS_TOP_N_TRAIN": Key(2000, "rpn.training.after_nms"),
    "MODEL.RPN.POST_NMS_TOP_N_TEST": Key(1000, "rpn.inference.after_nms"),
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN": Key(2000, "rpn.training.total", _proposals_to_train),
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": Key(2000, "rpn.inference.total", _all_levels),
    "MODEL.RPN.FPN_POST_NMS_PER_BATCH": Key(True, "rpn.training.over_batch", _over_batch),
    "MODEL.RPN.NMS_THRESH": Key(0.7, "rpn.nms_threshold"),
    "MODEL.RPN.MIN_SIZE": Key(0, "rpn.smallest_side"),
    "MODEL.RPN.RPN_HEAD": Key("SingleConvRPNHead", convert=_only("SingleConvRPNHead")),
    "MODEL.ROI_HEADS.USE_FPN": Key(False, convert=_only(True, False)),
    "MODEL.ROI_HEADS.FG_IOU_THRESHOLD": Key(0.5, "losses.positive_iou"),
    "MODEL.ROI_HEADS.BG_IOU_THRESHOLD": Key(0.5, convert=_equal_to("MODEL.ROI_HEADS.FG_IOU_THRESHOLD")),
    "MODEL.ROI_HEADS.BBOX_REG_WEIGHTS": Key((10.0, 10.0, 5.0, 5.0), convert=_only((10.0, 10.0, 5.0, 5.0))),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": Key(512, "losses.regions_per_image"),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": Key(0.25, "losses.positive_regions"),
    "MODEL.ROI_HEADS.SCORE_THRESH": Key(0.05, "detection.score_threshold"),
    "MODEL.ROI_HEADS.NMS": Key(0.5, "detection.iou_threshold"),
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": Key(100, "detection.max_detections"),
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": Key(
        "ResNet50Conv5ROIFeatureExtractor", convert=_only("FPN2MLPFeatureExtractor", "ResNet50Conv5ROIFeatureExtractor")
    ),
    "MODEL.ROI_BOX_HEAD.PREDICTOR": Key("FastRCNNPredictor", convert=_only("FPNPredictor", "FastRCNNPredictor")),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": Key(14, "network.box_size"),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": Key(0, "network.sampling_ratio"),
    "MODEL.ROI_BOX_HEAD.POOLER_SCALES": Key((0.0625,), convert=_only(_SCALES, (0.0625,))),
    "MODEL.ROI_BOX_HEAD.NUM_CLASSES": Key(81, "num_classes", _classes),
    "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": Key(1024, "network.box_channels"),
    "MODEL.ROI_BOX_HEAD.USE_GN": Key(False, convert=_only(False)),
    "MODEL.ROI_BOX_HEAD.DILATION": Key(1, convert=_only(1)),
    "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM": Key(256),  # this one and the next: of another FEATURE_EXTRACTOR
    "MODEL.ROI_BOX_HEAD.NUM_STACKED_CONVS": Key(4),
    "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR": Key(
        "ResNet50Conv5ROIFeatureExtractor",
        convert=_only("MaskRCNNFPNFeatureExtractor", "ResNet50Conv5ROIFeatureExtractor"),
    ),
    "MODEL.ROI_MASK_HEAD.PREDICTOR": Key("MaskRCNNC4Predictor", convert=_only("MaskRCNNC4Predictor")),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": Key(14, "network.mask_size"),
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": Key(0, convert=_equal_to("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO")),
    "MODEL.ROI_MASK_HEAD.POOLER_SCALES": Key((0.0625,), convert=_only(_SCALES, (0.0625,))),
    "MODEL.ROI_MASK_HEAD.MLP_HEAD_DIM": Key(1024),
    "MODEL.ROI_MASK_HEAD.CONV_LAYERS": Key((256,) * 4, convert=_mask_layers),
    "MODEL.ROI_MASK_HEAD.RESOLUTION": Key(14, convert=_mask_resolution),
    "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": Key(True, convert=_only(False, True)),
    "MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS": Key(False),  # masks are always put into the image
    "MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS_THRESHOLD": Key(0.5, convert=_only(0.5)),
    "MODEL.ROI_MASK_HEAD.DILATION": Key(1, convert=_only(1)),
    "MODEL.ROI_MASK_HEAD.USE_GN": Key(False, convert=_only(False)),
    "SOLVER.MAX_ITER": Key(40000, "schedule.iterations"),
    "SOLVER.BASE_LR": Key(0.001, "schedule.learning_rate"),
    "SOLVER.BIAS_LR_FACTOR": Key(2.0, "schedule.bias_rate"),
    "SOLVER.MOMENTUM": Key(0.9, "schedule.momentum"),
    "SOLVER.WEIGHT_DECAY": Key(0.0005, "schedule.weight_decay"),
    "SOLVER.WEIGHT_DECAY_BIAS": Key(0.0, "schedule.bias_decay", _bias_decay),
    "SOLVER.GAMMA": Key(0.1, "schedule.gamma"),
    "SOLVER.STEPS": Key((30000,), "schedule.steps"),
    "SOLVER.WARMUP_FACTOR": Key(1 / 3, "schedule.warmup_start"),
    "SOLVER.WARMUP_ITERS": Key(500, "schedule.warmup_iterations"),
    "SOLVER.WARMUP_METHOD": Key("linear", "schedule.warmup", _warmup),
    "SOLVER.CHECKPOINT_PERIOD": Key(2500, "schedule.checkpoint_every"),
    "SOLVER.TEST_PERIOD": Key(0, "schedule.evaluate_every"),
    "SOLVER.IMS_PER_BATCH": Key(16, "schedule.batch_size"),
    "TEST.EXPECTED_RESULTS": Key((), convert=_only(())),
    "TEST.EXPECTED_RESULTS_SIGMA_TOL": Key(4),
    "TEST.IMS_PER_BATCH": Key(8),
    "TEST.DETECTIONS_PER_IMG": Key(100),  # RetinaNet's alone
    "TEST.BBOX_AUG.ENABLED": Key(False, convert=_only(False)),
    "OUTPUT_DIR": Key("."),
    "PATHS_CATALOG": Key("", convert=_only("")),
    "DTYPE": Key("float32", convert=_only("float32")),
    "AMP_VERBOSE": Key(False),
}
# Details of what is refused where it is switched on; nobody looks at them.
OF_OTHER_MODELS = re.compile(
    r"MODEL\.(RETINANET|FBNET|GROUP_NORM|ROI_KEYPOINT_HEAD|FCOS|EMBED_MASK|ROI_MASKIOU_HEAD)\.|TEST\.BBOX_AUG\."
)
