"""Settings: files and their bases, the originals' names, overrides, and what is said of a mistake."""

import pytest

from common.config import load_settings, model_names
from common.errors import UserError


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


@pytest.mark.parametrize("override", ["detection.nms", "num_classes.deeper=1", "detection.nms=softer"])
def test_an_override_that_does_not_fit_is_refused(override):
    with pytest.raises(UserError, match=r"override|detection\.nms"):
        load_settings("yolact_tiny", [override])


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
