"""Settings: files and their bases, the originals' names, overrides, and what is said of a mistake."""

from pathlib import Path

import pytest

from common.config import DarknetSettings, ResNetSettings, model_names
from common.errors import UserError
from common.families import config_files_of
from common.models import load_settings


@pytest.mark.parametrize("model", model_names())
def test_every_variant_is_found_by_its_names(model):
    settings = load_settings(model)
    assert settings.model == model
    for alias in settings.aliases:
        assert load_settings(alias) == settings


def test_a_file_of_ones_own_stands_on_a_variant(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: yolact_resnet50\nnum_classes: 3\nschedule:\n  learning_rate: 0.5\n")
    mine, base = load_settings(str(path), ["detection.nms=exact"]), load_settings("yolact_resnet50")
    assert (mine.model, mine.num_classes, mine.schedule.learning_rate, mine.detection.nms) == ("mine", 3, 0.5, "exact")
    assert mine.network == base.network
    assert mine.aliases == ()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("base: yolact_resnet50\nnum_clases: 3\n", "unknown key num_clases"),
        ("base: yolact_resnet50\nschedule:\n  rate: 1\n", "unknown key schedule.rate"),
        ("base: yolact_resnet50\nnum_classes: many\n", "num_classes: .*'many'"),
        ("base: yolact_plus_resnet50\npreprocessing:\n  size: 248\n", "preprocessing.size: mask IoU needs .* 249"),
        ("base: mine\n", "its base leads back to itself"),
        ("- 1\n", "the file holds no settings"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path, content, line):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=f"mine.yaml: {line}"):
        load_settings(str(path))


@pytest.mark.parametrize("exists", [True, False])
def test_a_program_of_settings_is_not_run_and_its_variant_is_named(tmp_path, exists):
    name = "cascade_mask_rcnn_swin_small_patch4_window7_mstrain_480-800_giou_4conv1f_adamw_3x_coco.py"
    path = tmp_path / name if exists else f"configs/swin/{name}"
    if exists:
        path.write_text("raise SystemExit")
    with pytest.raises(UserError, match=rf"{name}: .* are not run; give the model cascade_mask_rcnn_swin_s, which"):
        load_settings(str(path))
    assert config_files_of(Path(path)) is None
    with pytest.raises(UserError, match=r"mine\.py: .* are not run; give a model by its name$"):
        load_settings("mine.py")


@pytest.mark.parametrize("override", ["detection.nms", "num_classes.deeper=1", "detection.nms=softer"])
def test_an_override_that_does_not_fit_is_refused(override):
    with pytest.raises(UserError, match=r"override|detection\.nms"):
        load_settings("yolact_tiny", [override])


@pytest.mark.parametrize("model", ["mask_rcnn_tiny", "pose2seg_tiny", "yolact_tiny"])
def test_a_backbone_is_told_by_its_kind(model):
    darknet = load_settings(model, ["network.backbone={kind: darknet}"])
    assert darknet.network.backbone == DarknetSettings()
    assert darknet.numerics()["network.backbone.kind"] == "darknet"
    resnet = load_settings(model, ["network.backbone={depths: [1, 2, 3, 4]}"])  # a ResNet where no kind is told
    assert resnet.network.backbone == ResNetSettings(depths=(1, 2, 3, 4))
    mistakes = {
        "network.backbone.kind=vgg": "network.backbone: .*'vgg'.* 'resnet', 'darknet'",
        "network.backbone.depth=3": "unknown key network.backbone.depth$",
        "network.backbone={width: 16}": "network.backbone.depths: Field required",
        "network.backbone.depths=[1, 1, 1, many]": "network.backbone.depths.3: .*'many'",
    }
    for override, line in mistakes.items():
        with pytest.raises(UserError, match=line):
            load_settings(model, [override])


def test_the_last_stage_of_a_resnet_alone_is_a_box_head():
    with pytest.raises(UserError, match=r"network\.fpn: false takes a ResNet's last stage .* darknet has none"):
        load_settings("mask_rcnn_r50_c4", ["network.backbone={kind: darknet}"])


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("network.backbone.heads=[3,5,12,24]", r"network\.backbone: heads: 3 heads cannot share 32 channels equally$"),
        ("network.backbone.window=0", r"network\.backbone\.window: .*greater than 0 \(got 0\)$"),
        ("network.backbone.depths=[2,2]", r"network\.backbone\.depths\.2: Field required"),
        ("network.backbone.depth=3", r"unknown key network\.backbone\.depth$"),
        ("network.backbone={kind: darknet}", r"network\.drop_path: it is for the branches of a swin"),
        ("network.drop_path=1", r"network\.drop_path: .*less than 1"),
        ("network.channels=0", r"network\.channels: .*greater than 0"),
        ("stages=[]", r"stages: .*at least 1"),
        ("stages=[{positive_iou: 0.5}]", r"stages\.0\.region_weights: Field required"),
        (
            "stages=[{positive_iou: 0.5, region_weights: [1, 1, 1, 0]}]",
            r"stages\.0\.region_weights\.3: .*greater than 0",
        ),
        (
            "augmentation.crop={short_sides: [9], sides: [3, 2]}",
            r"augmentation\.crop: sides: the shortest comes first$",
        ),
    ],
)
def test_what_no_cascade_with_a_swin_can_be(override, line):
    with pytest.raises(UserError, match=line):
        load_settings("cascade_mask_rcnn_tiny", [override])


@pytest.mark.parametrize(
    "override",
    [
        "preprocessing.short_side=0",
        "preprocessing.long_side=-1",
        "preprocessing.pad_multiple=0",
        "augmentation.short_sides=[600,0]",
    ],
)
def test_images_have_sides(override):
    with pytest.raises(UserError, match=override.partition("=")[0]):
        load_settings("mask_rcnn_r50_fpn", [override])


@pytest.mark.parametrize(
    ("name", "depths", "stride_in", "groups", "deviation"),
    [
        ("mask_rcnn_R_50_FPN_3x", (3, 4, 6, 3), "1x1", 1, (1, 1, 1)),
        ("mask_rcnn_R_101_FPN_3x", (3, 4, 23, 3), "1x1", 1, (1, 1, 1)),
        ("mask_rcnn_X_101_32x8d_FPN_3x", (3, 4, 23, 3), "3x3", 32, (57.375, 57.12, 58.395)),
    ],
)
def test_detectron2_s_long_schedules_are_models_of_their_own(name, depths, stride_in, groups, deviation):
    """As its configuration files and their base have them."""
    settings, short = load_settings(name), load_settings("mask_rcnn_R_50_FPN_1x")
    schedule, backbone = settings.schedule, settings.network.backbone
    assert (schedule.iterations, schedule.steps) == (270_000, (210_000, 250_000))
    assert (short.schedule.iterations, short.schedule.steps) == (90_000, (60_000, 80_000))
    for each in (settings, short):
        each = each.schedule
        assert (each.batch_size, each.learning_rate, each.warmup_iterations, each.warmup_start) == (
            16,
            0.02,
            1000,
            1e-3,
        )
    assert (backbone.depths, backbone.stride_in, backbone.groups) == (depths, stride_in, groups)
    assert backbone.width_per_group == (8 if groups == 32 else 64)
    assert settings.preprocessing.deviation == deviation
    assert settings.preprocessing.mean == (103.53, 116.28, 123.675) and settings.preprocessing.channel_order == "bgr"
    assert settings.augmentation.short_sides == (640, 672, 704, 736, 768, 800)
    assert (settings.convention, settings.rpn, settings.losses) == ("detectron2", short.rpn, short.losses)
