"""maskrcnn-benchmark's configurations: what a file and its pairs become, and what is said of what cannot be had."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from common.errors import UserError
from common.families.config_files import split_pairs
from common.families.mask_rcnn.maskrcnn_benchmark import KEYS, is_config, read_config
from common.models import load_settings
from common.weights import check_fit, with_card
from tests.weights_convert.originals import canonical_shapes, to_original
from weights_convert import open_weights
from weights_convert.writers import write_pth

# What every published file with a pyramid sets, each key by its path.
PYRAMID = {
    "MODEL.MASK_ON": True,
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
    "MODEL.RPN.USE_FPN": True,
    "MODEL.RPN.ANCHOR_STRIDE": "(4, 8, 16, 32, 64)",
    "MODEL.RPN.PRE_NMS_TOP_N_TRAIN": 2000,
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": 1000,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": 1000,
    "MODEL.ROI_HEADS.USE_FPN": True,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.POOLER_SCALES": "(0.25, 0.125, 0.0625, 0.03125)",
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPN2MLPFeatureExtractor",
    "MODEL.ROI_BOX_HEAD.PREDICTOR": "FPNPredictor",
    "MODEL.ROI_MASK_HEAD.POOLER_SCALES": "(0.25, 0.125, 0.0625, 0.03125)",
    "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR": "MaskRCNNFPNFeatureExtractor",
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_MASK_HEAD.RESOLUTION": 28,
    "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
    "DATALOADER.SIZE_DIVISIBILITY": 32,
    "SOLVER.WEIGHT_DECAY": 0.0001,
}
LONG = {
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.STEPS": "(120000, 160000)",
    "SOLVER.MAX_ITER": 180000,
    "SOLVER.IMS_PER_BATCH": 8,
}
SHORT = {"SOLVER.BASE_LR": 0.02, "SOLVER.STEPS": "(60000, 80000)", "SOLVER.MAX_ITER": 90000}
PUBLISHED = {
    "mask_rcnn_r50_c4": {"MODEL.MASK_ON": True, "SOLVER.WEIGHT_DECAY": 0.0001} | LONG,
    "mask_rcnn_r50_fpn": PYRAMID | SHORT,
    "mask_rcnn_r101_fpn": PYRAMID | SHORT | {"MODEL.BACKBONE.CONV_BODY": "R-101-FPN"},
    "mask_rcnn_x101_32x8d_fpn": PYRAMID
    | LONG
    | {
        "MODEL.BACKBONE.CONV_BODY": "R-101-FPN",
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NUM_GROUPS": 32,
        "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    },
}


@pytest.fixture
def config(tmp_path):
    """Writes a file, reads it with pairs behind it."""

    def read(values, *pairs):
        nested = {}
        for key, value in values.items():
            *sections, name = key.split(".")
            part = nested
            for section in sections:
                part = part.setdefault(section, {})
            part[name] = value
        path = tmp_path / "e2e.yaml"
        path.write_text(yaml.safe_dump(nested))
        return read_config(path, pairs)

    return read


def settings_of(config):
    return load_settings(config.model, config.overrides())


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_published_file_is_the_variant(config, model):
    found = settings_of(config(PUBLISHED[model]))
    schedule = found.schedule.model_copy(update={"checkpoint_every": 10000})  # the original keeps more of them
    assert found.schedule.checkpoint_every == 2500
    assert found.model_copy(update={"schedule": schedule}) == load_settings(model)


def test_every_key_with_a_setting_of_ours_reaches_it(config):
    """Each changed alone, away from its default, changes this setting and no other."""
    together = {
        "INPUT.MAX_SIZE_TEST": ["INPUT.MAX_SIZE_TRAIN"],
        "MODEL.ROI_HEADS.FG_IOU_THRESHOLD": ["MODEL.ROI_HEADS.BG_IOU_THRESHOLD"],
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": ["MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO"],
    }
    changed = {
        "INPUT.MIN_SIZE_TRAIN": ((640, 800), "augmentation.short_sides", (640, 800)),
        "INPUT.MAX_SIZE_TEST": (1000, "preprocessing.long_side", 1000),
        "INPUT.PIXEL_STD": ((2.0, 3.0, 4.0), "preprocessing.deviation", (2, 3, 4)),
        "INPUT.BRIGHTNESS": (0.4, "augmentation.brightness", 0.4),
        "INPUT.CONTRAST": (0.4, "augmentation.contrast", 0.4),
        "INPUT.SATURATION": (0.4, "augmentation.saturation", 0.4),
        "INPUT.HUE": (0.1, "augmentation.hue", 0.1),
        "INPUT.HORIZONTAL_FLIP_PROB_TRAIN": (0.3, "augmentation.flip", 0.3),
        "INPUT.VERTICAL_FLIP_PROB_TRAIN": (0.5, "augmentation.vertical_flip", 0.5),
        "DATALOADER.SIZE_DIVISIBILITY": (64, "preprocessing.pad_multiple", 64),
        "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": (-1, "network.frozen_stages", 0),
        "MODEL.RPN.ANCHOR_SIZES": ((8, 16, 32, 64, 128), "rpn.anchor_sizes", ((8,), (16,), (32,), (64,), (128,))),
        "MODEL.RPN.ASPECT_RATIOS": ((0.25, 1.0), "rpn.anchor_ratios", (0.25, 1)),
        "MODEL.RPN.FG_IOU_THRESHOLD": (0.8, "losses.rpn_positive_iou", 0.8),
        "MODEL.RPN.BG_IOU_THRESHOLD": (0.2, "losses.rpn_negative_iou", 0.2),
        "MODEL.RPN.BATCH_SIZE_PER_IMAGE": (128, "losses.anchors_per_image", 128),
        "MODEL.RPN.POSITIVE_FRACTION": (0.4, "losses.positive_anchors", 0.4),
        "MODEL.RPN.PRE_NMS_TOP_N_TRAIN": (1500, "rpn.training.before_nms", 1500),
        "MODEL.RPN.PRE_NMS_TOP_N_TEST": (1500, "rpn.inference.before_nms", 1500),
        "MODEL.RPN.POST_NMS_TOP_N_TRAIN": (500, "rpn.training.after_nms", 500),
        "MODEL.RPN.POST_NMS_TOP_N_TEST": (500, "rpn.inference.after_nms", 500),
        "MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN": (4000, "rpn.training.total", 2000),
        "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": (300, "rpn.inference.total", 300),
        "MODEL.RPN.NMS_THRESH": (0.6, "rpn.nms_threshold", 0.6),
        "MODEL.RPN.MIN_SIZE": (1, "rpn.smallest_side", 1),
        "MODEL.ROI_HEADS.FG_IOU_THRESHOLD": (0.6, "losses.positive_iou", 0.6),
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": (64, "losses.regions_per_image", 64),
        "MODEL.ROI_HEADS.POSITIVE_FRACTION": (0.5, "losses.positive_regions", 0.5),
        "MODEL.ROI_HEADS.SCORE_THRESH": (0.3, "detection.score_threshold", 0.3),
        "MODEL.ROI_HEADS.NMS": (0.4, "detection.iou_threshold", 0.4),
        "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": (20, "detection.max_detections", 20),
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": (0, "network.sampling_ratio", 0),
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": (5, "network.box_size", 5),
        "MODEL.ROI_BOX_HEAD.NUM_CLASSES": (9, "num_classes", 8),
        "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": (512, "network.box_channels", 512),
        "MODEL.RESNETS.STRIDE_IN_1X1": (False, "network.backbone.stride_in", "3x3"),
        "SOLVER.MAX_ITER": (7, "schedule.iterations", 7),
        "SOLVER.BASE_LR": (1, "schedule.learning_rate", 1.0),
        "SOLVER.BIAS_LR_FACTOR": (1, "schedule.bias_rate", 1.0),
        "SOLVER.MOMENTUM": (0.8, "schedule.momentum", 0.8),
        "SOLVER.WEIGHT_DECAY": (0.001, "schedule.weight_decay", 0.001),
        "SOLVER.WEIGHT_DECAY_BIAS": (0.0001, "schedule.bias_decay", True),
        "SOLVER.GAMMA": (0.5, "schedule.gamma", 0.5),
        "SOLVER.STEPS": ((480000, 640000), "schedule.steps", (480000, 640000)),
        "SOLVER.WARMUP_FACTOR": (0.1, "schedule.warmup_start", 0.1),
        "SOLVER.WARMUP_METHOD": ("constant", "schedule.warmup", "constant"),
        "SOLVER.WARMUP_ITERS": (50, "schedule.warmup_iterations", 50),
        "SOLVER.CHECKPOINT_PERIOD": (100, "schedule.checkpoint_every", 100),
        "SOLVER.TEST_PERIOD": (100, "schedule.evaluate_every", 100),
        "SOLVER.IMS_PER_BATCH": (2, "schedule.batch_size", 2),
    }
    # These change others with them and have tests of their own.
    apart = {
        "INPUT.MIN_SIZE_TEST",
        "INPUT.MAX_SIZE_TRAIN",
        "INPUT.PIXEL_MEAN",
        "INPUT.TO_BGR255",
        "MODEL.BACKBONE.CONV_BODY",
        "MODEL.RPN.FPN_POST_NMS_PER_BATCH",
    }
    apart |= {"MODEL.RESNETS.NUM_GROUPS", "MODEL.RESNETS.WIDTH_PER_GROUP", "MODEL.RESNETS.BACKBONE_OUT_CHANNELS"}
    apart |= {"MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION"}
    assert set(changed) | apart == {key for key, entry in KEYS.items() if entry.path}
    before = flat(settings_of(config(PYRAMID)))
    for key, (value, path, expected) in changed.items():
        pairs = [(name, str(value)) for name in [key, *together.get(key, [])]]
        after = flat(settings_of(config(PYRAMID, *pairs)))
        assert {name: after[name] for name in after if after[name] != before[name]} == {path: expected}, key


@pytest.mark.parametrize(
    ("pairs", "total", "shared"),
    [
        ({"SOLVER.IMS_PER_BATCH": 16}, 1000, True),  # two to each of eight GPUs
        ({"SOLVER.IMS_PER_BATCH": 8}, 2000, True),
        ({"SOLVER.IMS_PER_BATCH": 4, "MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN": 4000}, 1000, True),  # all to one
        ({"MODEL.RPN.FPN_POST_NMS_PER_BATCH": False}, 2000, False),
    ],
)
def test_proposals_that_images_share_become_the_share_of_one(config, pairs, total, shared):
    limits = settings_of(config(PYRAMID, *((key, str(value)) for key, value in pairs.items()))).rpn.training
    assert (limits.total, limits.over_batch) == (total, shared)


def flat(section, prefix=""):
    found = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, BaseModel) else {f"{prefix}{name}": value}
    return found


def test_sizes_of_images_in_training_and_test(config):
    one = settings_of(config(PYRAMID, ("INPUT.MIN_SIZE_TRAIN", "(600,)"), ("INPUT.MIN_SIZE_TEST", "600")))
    assert (one.preprocessing.short_side, one.augmentation.short_sides) == (600, ())
    two = settings_of(config(PYRAMID, ("INPUT.MIN_SIZE_TEST", "600")))
    assert (two.preprocessing.short_side, two.augmentation.short_sides) == (600, (800,))
    three = settings_of(config(PYRAMID, ("INPUT.MAX_SIZE_TRAIN", "1000")))
    assert (three.preprocessing.long_side, three.augmentation.long_side) == (1333, 1000)


def test_pixels_from_0_to_1_in_rgb(config):
    pairs = [("INPUT.TO_BGR255", "False"), ("INPUT.PIXEL_MEAN", "[0.4, 0.5, 0.6]"), ("INPUT.PIXEL_STD", "[0.2, 1, 1]")]
    found = settings_of(config(PYRAMID, *pairs)).preprocessing
    assert found.channel_order == "rgb"
    assert found.mean == pytest.approx((102, 127.5, 153)) and found.deviation == pytest.approx((51, 255, 255))


def test_sizes_of_the_network(config):
    wide = PYRAMID | {"MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 128, "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (128,) * 4}
    wide |= {"MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 7, "MODEL.ROI_MASK_HEAD.RESOLUTION": 14}
    network = settings_of(config(wide)).network
    assert (network.channels, network.mask_size) == (128, 7)
    deep = config(PYRAMID | {"MODEL.BACKBONE.CONV_BODY": "R-152-FPN", "MODEL.RESNETS.NUM_GROUPS": 32})
    backbone = settings_of(deep).network.backbone
    assert (deep.model, backbone.depths, backbone.groups) == ("mask_rcnn_x101_32x8d_fpn", (3, 8, 36, 3), 32)
    assert backbone.width_per_group == 64 and backbone.stride_in == "1x1"  # the original's defaults, not the variant's
    c4 = config({"MODEL.MASK_ON": True, "MODEL.BACKBONE.CONV_BODY": "R-101-C4"}, ("MODEL.RPN.POST_NMS_TOP_N_TEST", "9"))
    assert settings_of(c4).network.backbone.depths == (3, 4, 23, 3)
    assert settings_of(c4).rpn.inference.total == 9


def test_what_is_given_is_said_also_where_it_is_the_variants(config):
    """So that it stands before the preprocessing on the card of the weights."""
    assert "preprocessing.short_side=800" in config(PYRAMID, ("INPUT.MIN_SIZE_TEST", "800")).overrides()
    assert not any(each.startswith("preprocessing.short") for each in config(PYRAMID).overrides())


def test_parts_that_are_off_are_not_looked_at(config):
    others = {"MODEL.RETINANET.NUM_CONVS": 9, "MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": 3, "MODEL.FBNET.ARCH": "x"}
    assert settings_of(config(PYRAMID | others)) == settings_of(config(PYRAMID))


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("MODEL.RETINANET_ON", True, "True is not implemented, only False is"),
        ("MODEL.KEYPOINT_ON", True, "True is not implemented"),
        ("MODEL.MASK_ON", False, "False is not implemented, only True is"),
        ("MODEL.BACKBONE.CONV_BODY", "FBNet", "FBNet is not implemented; there are R-50-C4, .*R-152-FPN"),
        ("MODEL.BACKBONE.CONV_BODY", "R-50-C5", "R-50-C5 is not implemented"),
        ("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 5, "5 is not implemented, only up to 4 are"),
        ("MODEL.DEVICE", "npu", "npu is not implemented"),
        ("MODEL.FPN.USE_GN", True, "True is not implemented"),
        ("MODEL.RESNETS.TRANS_FUNC", "BottleneckWithGN", "'BottleneckWithGN' is not implemented"),
        ("MODEL.RESNETS.STAGE_WITH_DCN", [False, True, True, True], r"\(False, True, True, True\) is not implemented"),
        ("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 128, "only where CONV_LAYERS are four, each of BACKBONE_OUT"),
        ("MODEL.RPN.STRADDLE_THRESH", -1, "-1 is not implemented, only 0 is"),
        ("MODEL.RPN.USE_FPN", False, "False is not implemented with CONV_BODY R-50-FPN, only True is"),
        ("MODEL.RPN.ANCHOR_SIZES", [32, 64], r"\(32, 64\) is not implemented; a pyramid has 5 maps"),
        ("MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "FPNXconv1fcFeatureExtractor", "'FPNXconv1fcFeatureExtractor' is not"),
        ("MODEL.ROI_HEADS.BG_IOU_THRESHOLD", 0.4, "0.4 is implemented only where MODEL.ROI_HEADS.FG_IOU_THRESHOLD"),
        ("MODEL.ROI_MASK_HEAD.RESOLUTION", 14, "14 is not what the mask head puts out, which is 28"),
        ("MODEL.ROI_BOX_HEAD.NUM_CLASSES", 1, "1 leaves no class beside the background"),
        ("DATALOADER.SIZE_DIVISIBILITY", 16, "16 is not implemented with a pyramid"),
        ("SOLVER.WARMUP_METHOD", "cosine", "'cosine' is not implemented, only 'linear' and 'constant' are"),
        ("SOLVER.WEIGHT_DECAY_BIAS", 0.5, "0.5 is implemented only where it is 0"),
        ("TEST.BBOX_AUG.ENABLED", True, "True is not implemented"),
        ("DTYPE", "float16", "'float16' is not implemented"),
        ("PATHS_CATALOG", "mine.py", "'mine.py' is not implemented"),
    ],
)
def test_what_is_not_implemented_is_named_with_its_place(config, key, value, line):
    with pytest.raises(UserError, match=rf"e2e\.yaml: {key}: .*{line}"):
        config(PYRAMID | {key: value}).overrides()
    with pytest.raises(UserError, match=rf"^command line: {key}: .*{line}"):
        config(PYRAMID, (key, str(value))).overrides()


def test_a_default_of_the_original_can_be_what_is_refused(config):
    with pytest.raises(UserError, match=r"e2e\.yaml, by default: MODEL\.MASK_ON: False is not implemented"):
        config({"SOLVER.BASE_LR": 0.1}).overrides()


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("SOLVER.BASE_LR", "fast", "'fast' is not a number"),
        ("SOLVER.MAX_ITER", 2.5, "2.5 is not a whole number"),
        ("SOLVER.MAX_ITER", True, "True is not a whole number"),
        ("SOLVER.STEPS", 30000, r"30000 is not a tuple, each element a whole number, such as \(30000,\)"),
        ("SOLVER.STEPS", "__import__('os')", "\"__import__\\('os'\\)\" is not a tuple"),
        ("SOLVER.STEPS", "(" * 9000, "'.*' is not a tuple"),
        ("SOLVER.STEPS", "(1, 2.5)", r"\(1, 2.5\) is not a tuple"),
        ("MODEL.MASK_ON", 1, "1 is not True or False"),
        ("DATASETS.TRAIN", "(3,)", r"\(3,\) is not a tuple, each element a text"),
        ("MODEL.WEIGHT", 3, "3 is not a text"),
        ("SOLVER.MOMENTUM", None, "None is not a number"),
    ],
)
def test_a_value_of_another_type_is_named(config, key, value, line):
    with pytest.raises(UserError, match=rf"e2e\.yaml: {key}: {line}"):
        config(PYRAMID | {key: value})


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("SOLVER.BASE_LEARNING_RATE", "SOLVER.BASE_LR"),
        ("MODEL.ROI_BOX_HEAD.CLASSES", "MODEL.ROI_BOX_HEAD.NUM_CLASSES"),
        ("MODEL.ROI_HEAD.NMS", "MODEL.ROI_HEADS.NMS"),
        ("OUTPUT", "OUTPUT_DIR"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(config, key, nearest):
    with pytest.raises(UserError, match=rf"e2e\.yaml: unknown key {key}; the nearest is {nearest}$"):
        config({key: 1})


@pytest.mark.parametrize("content", ["- 1", "a: [", "3: 4", ""])
def test_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"bad\.yaml: (not valid YAML|the file holds no settings)"):
        read_config(path)
    with pytest.raises(UserError, match=r"config file not found: .*absent\.yaml"):
        read_config(tmp_path / "absent.yaml")


def test_whose_file_it_is(tmp_path):
    (tmp_path / "ours.yaml").write_text("base: mask_rcnn_tiny\nnum_classes: 3\n")
    (tmp_path / "theirs.yaml").write_text("OUTPUT_DIR: out\nMODEL:\n  MASK_ON: True\n")
    assert not is_config(tmp_path / "ours.yaml") and is_config(tmp_path / "theirs.yaml")


def test_pairs_are_told_from_other_words():
    words = ["IMG_1.JPG", "SOLVER.STEPS", "(1, 2)", "--skip-test", "MODEL.RPN.STRADDLE_THRESH", "-1", "a.b=3", "MODEL"]
    rest, pairs = split_pairs([*words, "OUTPUT_DIR", "out"])
    assert rest == ["IMG_1.JPG", "--skip-test", "a.b=3", "MODEL"]
    assert pairs == [("SOLVER.STEPS", "(1, 2)"), ("MODEL.RPN.STRADDLE_THRESH", "-1"), ("OUTPUT_DIR", "out")]
    with pytest.raises(UserError, match=r"command line: SOLVER\.STEPS: its value is missing"):
        split_pairs(["SOLVER.STEPS"])


def completed(config, command, **given):
    arguments = Namespace(**({"data": None, "weights": None} | given))
    config.complete(arguments, command)
    return arguments


@pytest.mark.parametrize(
    "names", [("coco_2017_train", "coco_2017_val"), ("coco_2014_train,coco_2014_valminusminival", "coco_2014_minival")]
)
def test_the_names_of_coco_are_its_folder(config, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, test = (tuple(each.split(",")) for each in names)
    found = config(PYRAMID | {"DATASETS.TRAIN": list(train), "DATASETS.TEST": list(test)})
    with pytest.raises(
        UserError, match=rf"DATASETS\.TRAIN: {', '.join(train)}: .* COCO 2017's train .*give --data ROOT"
    ):
        completed(found, "train")
    (tmp_path / "datasets" / "coco").mkdir(parents=True)
    for command in ("train", "evaluate"):
        assert str(completed(found, command, weights="w.pth").data) == "datasets/coco"
    assert completed(found, "train", data="mine").data == "mine"


def test_other_data_is_asked_for(config):
    for names in (["coco_2014_train"], ["voc_2012_train_cocostyle"], []):
        with pytest.raises(UserError, match=r"DATASETS\.TRAIN: .*give a data set's folder as --data ROOT"):
            completed(config(PYRAMID | {"DATASETS.TRAIN": names}), "train")
    with pytest.raises(UserError, match=r"DATASETS\.TEST: coco_2017_train is not the val part"):
        completed(config(PYRAMID | {"DATASETS.TEST": ["coco_2017_train"]}), "evaluate")


def test_several_test_sets(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets" / "coco").mkdir(parents=True)
    found = config(
        PYRAMID | {"DATASETS.TEST": ["coco_2014_minival", "coco_2017_train"], "DATASETS.TRAIN": ["coco_2017_train"]},
        ("OUTPUT_DIR", "out"),
    )
    coco = Path("datasets/coco")
    sets = completed(found, "evaluate", weights="w.pth").test_sets
    assert sets == [("coco_2014_minival", coco, "val"), ("coco_2017_train", coco, "train")]
    assert found.options("evaluate")["output"] == "out/inference"
    assert completed(found, "train").data == coco
    other = config(PYRAMID | {"DATASETS.TEST": ["coco_2017_val", "voc_2012_val_cocostyle"]})
    with pytest.raises(UserError, match=r"DATASETS\.TEST: of several test sets each is one of .*not voc_2012"):
        completed(other, "evaluate", weights="w.pth")


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_the_originals_last_checkpoint_is_told_of_and_not_taken_up(config, tmp_path, command):
    (tmp_path / "last_checkpoint").write_text("out/model_0002500.pth")
    found = config(PYRAMID, ("OUTPUT_DIR", str(tmp_path)), ("MODEL.WEIGHT", "w.pth"))
    with pytest.raises(UserError, match=r"OUTPUT_DIR: \S+/last_checkpoint names out/model_0002500\.pth, .*--weights"):
        completed(found, command, data="d")
    assert completed(found, command, data="d", weights="mine.pth").weights == "mine.pth"


def test_weights(config, tmp_path):
    pretrained = config(PYRAMID, ("MODEL.WEIGHT", "catalog://ImageNetPretrained/FAIR/20171220/X-101-32x8d"))
    with pytest.raises(UserError, match=r"download https://\S+/ImageNetPretrained/20171220/X-101-32x8d\.pkl and give"):
        completed(pretrained, "train", data="d")
    with pytest.raises(UserError, match=r"MODEL\.WEIGHT: no trained model is given"):
        completed(pretrained, "evaluate", data="d")
    detector = config(PYRAMID, ("MODEL.WEIGHT", "catalog://Caffe2Detectron/COCO/35858933/e2e_mask_rcnn_R-50-FPN_1x"))
    for command in ("train", "predict"):
        with pytest.raises(
            UserError, match=r"/35858933/12_2017_baselines/e2e_mask_rcnn_R-50-FPN_1x\.yaml\..*\.pkl and"
        ):
            completed(detector, command, data="d")
    with pytest.raises(UserError, match=r"download https://host/w\.pkl and"):
        completed(config(PYRAMID, ("MODEL.WEIGHT", "https://host/w.pkl")), "train", data="d")
    assert completed(config(PYRAMID), "train", data="d").weights is None
    assert completed(pretrained, "train", data="d", resume=True).weights is None
    assert completed(pretrained, "train", data="d", weights="w").weights == "w"
    assert str(completed(config(PYRAMID, ("MODEL.WEIGHT", "w.pth")), "evaluate", data="d").weights) == "w.pth"
    trained = config(PYRAMID, ("OUTPUT_DIR", str(tmp_path)))
    (tmp_path / "weights.safetensors").touch()
    assert completed(trained, "evaluate", data="d").weights == tmp_path / "weights.safetensors"


def test_options_of_the_commands(config):
    pairs = [("OUTPUT_DIR", "out"), ("DATALOADER.NUM_WORKERS", "3"), ("TEST.IMS_PER_BATCH", "1")]
    found = config(PYRAMID | {"DATASETS.TEST": ["coco_2017_val"]}, *pairs, ("MODEL.DEVICE", "cuda:1"))
    assert found.options("train") == {"device": "cuda", "workers": "3", "output": "out"}
    rating = found.options("evaluate")
    assert rating == {"device": "cuda", "workers": "3", "batch_size": "1", "output": "out/inference/coco_2017_val"}
    assert config(PYRAMID).options("train") == {}


def test_a_checkpoint_opens_under_a_files_settings(config, tmp_path):
    """The sizes are the file's; the name on the card is the variant's."""
    small = PYRAMID | {"MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 8, "MODEL.ROI_MASK_HEAD.CONV_LAYERS": (8,) * 4}
    small |= {"MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM": 8, "MODEL.ROI_BOX_HEAD.NUM_CLASSES": 4}
    found = config(small, ("INPUT.MIN_SIZE_TEST", "600"))
    settings = settings_of(found)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(settings).items()}
    path = tmp_path / "model_final.pth"
    write_pth(path, to_original(arrays, settings, "x"), entry="model")
    weights, card = open_weights(path, settings)
    check_fit(weights, canonical_shapes(settings), str(path))
    assert (card.model, len(card.classes)) == ("mask_rcnn_r50_fpn", 3)
    # As where the card tells the original's preprocessing, and the file another.
    card = card.model_copy(update={"preprocessing": load_settings("mask_rcnn_r50_fpn").preprocessing})
    assert with_card(settings, card, str(path), found.overrides()).preprocessing.short_side == 600
