import json
import math
from pathlib import Path

import pytest

from common.config import Schedule, model_names
from common.models import load_settings
from common.training.schedules import is_evaluated, learning_rate, rate_and_decay, with_batch_size
from weights_convert import family_of

GOLDENS = Path(__file__).parents[2] / "goldens"
# Of each update the rate that the original's own training loop or scheduler set, with the options in the case; and of a
# convolution's and a norm's parameters the rate, as a share, and the decay in the original's own optimizer.
ORIGINALS = json.loads((Path(__file__).parent / "original_rates.json").read_text())


def case_name(case):
    return " ".join(str(case[key]) for key in ("model", "batch_size", "learning_rate") if key in case)


@pytest.mark.parametrize("case", ORIGINALS["rates"], ids=case_name)
def test_every_update_has_the_original_s_rate(case):
    given = [key for key in ("learning_rate",) if key in case]
    schedule = load_settings(case["model"], [f"schedule.{key}={case[key]}" for key in given]).schedule
    if "batch_size" in case:
        schedule = with_batch_size(schedule, case["batch_size"], given)
    if "steps" in case:
        assert (list(schedule.steps), schedule.iterations) == (case["steps"], case["iterations"])
    for step, rate in case["rates"].items():
        assert learning_rate(schedule, int(step)) == pytest.approx(rate, rel=1e-11), step


@pytest.mark.parametrize("model", ORIGINALS["parameters"])
def test_every_parameter_has_the_original_s_rate_and_decay(model):
    schedule = load_settings(model).schedule
    for name, expected in ORIGINALS["parameters"][model].items():
        assert rate_and_decay(schedule, f"backbone.{name}") == tuple(expected), name


@pytest.mark.parametrize("model", model_names())
def test_norms_are_known_by_their_names(model):
    settings = load_settings(model)
    names = family_of(settings).canonical_shapes(settings)
    decay = Schedule(batch_size=1, iterations=1, learning_rate=1.0, weight_decay=1.0, norm_decay=False)
    for name in names:
        # A norm alone has a weight of one axis.
        is_norm = len(names.get(f"{name.rpartition('.')[0]}.weight", (0, 0))) == 1 and ".running_" not in name
        assert rate_and_decay(decay, name)[1] == (0.0 if is_norm else 1.0), name


def test_yolact_as_the_original_has_it():
    """Linear from 1e-4 over 500 iterations, then a tenth at 280k, 600k, 700k and 750k."""
    schedule = load_settings("yolact_base").schedule
    expected = {
        0: 1e-4,
        1: 1e-4 + 9e-4 / 500,
        250: 5.5e-4,
        499: 1e-4 + 9e-4 * 499 / 500,
        500: 1e-3,
        279_999: 1e-3,
        280_000: 1e-4,
        600_000: 1e-5,
        699_999: 1e-5,
        700_000: 1e-6,
        750_000: 1e-7,
        799_999: 1e-7,
    }
    for step, rate in expected.items():
        assert learning_rate(schedule, step) == pytest.approx(rate, rel=1e-12), step


def test_constant_warm_up_as_maskrcnn_benchmark_has_it():
    """Its own scheduler's rates of 14 updates, with a base of 0.02, a factor of 1/3, 5 iterations and steps 8, 12."""
    schedule = Schedule(batch_size=1, iterations=14, learning_rate=0.02, warmup="constant", warmup_iterations=5)
    schedule = schedule.model_copy(update={"warmup_start": 1 / 3, "steps": (8, 12)})
    expected = [0.02 / 3] * 5 + [0.02] * 3 + [0.002] * 4 + [0.0002] * 2
    assert [learning_rate(schedule, step) for step in range(14)] == pytest.approx(expected, rel=1e-12)


def test_another_batch_size_scales_yolact_as_the_original_does():
    schedule = with_batch_size(load_settings("yolact_base").schedule, 5)
    assert schedule.batch_size == 5
    assert schedule.learning_rate == pytest.approx(6.25e-4)
    assert schedule.iterations == 1_280_000
    assert schedule.steps == (448_000, 960_000, 1_120_000, 1_200_000)
    assert schedule.warmup_iterations == 500
    assert learning_rate(schedule, 0) == pytest.approx(1e-4)
    assert learning_rate(schedule, 250) == pytest.approx((1e-4 + 6.25e-4) / 2)


def test_what_the_user_gives_is_not_scaled():
    given = {"learning_rate": 2e-3, "iterations": 1000, "steps": (700,), "warmup_iterations": 10}
    schedule = load_settings("yolact_base").schedule.model_copy(update=given)
    changed = with_batch_size(schedule, 16, [*given])
    assert changed == schedule.model_copy(update={"batch_size": 16})
    assert learning_rate(changed, 0) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("model", "images", "expected"),
    [
        ("yolact_base", 20, [5, 10, 15, 18]),  # two epochs of 20 images in batches of 8
        ("pose2seg", 10, [3, 5, 8, 10, 13, 15, 18]),  # one epoch in batches of 4; a batch may reach into the next
        ("mask_rcnn_r50_fpn", 20, [18]),
        ("mask_rcnn_r50_fpn_torchvision", 64, [4, 8, 12, 16, 18]),
    ],
)
def test_when_the_weights_are_rated(model, images, expected):
    schedule = load_settings(model, ["schedule.iterations=18"]).schedule
    assert [step for step in range(19) if is_evaluated(schedule, step, images)] == expected


def test_steps_go_before_epochs():
    schedule = load_settings("yolact_base", ["schedule.iterations=18", "schedule.evaluate_every=7"]).schedule
    assert [step for step in range(19) if is_evaluated(schedule, step, 20)] == [7, 14, 18]
    detectron2 = load_settings("mask_rcnn_R_101_FPN_3x").schedule
    assert [step for step in range(20_001) if is_evaluated(detectron2, step, 8)] == [5000, 10_000, 15_000, 20_000]


def test_without_autoscale_only_the_batch_size_changes():
    schedule = Schedule(batch_size=8, iterations=100, learning_rate=0.1, steps=(50,))
    changed = with_batch_size(schedule, 2)
    assert changed == schedule.model_copy(update={"batch_size": 2})


def test_cosine_with_warmup():
    schedule = Schedule(
        batch_size=1, iterations=100, learning_rate=2.0, decay="cosine", warmup_iterations=10, warmup_start=0.001
    )
    assert learning_rate(schedule, 0) == pytest.approx(0.002)
    assert learning_rate(schedule, 5) == pytest.approx((0.001 * 0.5 + 0.5) * (1 + math.cos(math.pi * 0.05)))
    assert learning_rate(schedule, 50) == pytest.approx(1.0)
    assert learning_rate(schedule, 100) == pytest.approx(0.0, abs=1e-15)
    assert learning_rate(schedule, 120) == pytest.approx(0.0, abs=1e-15)


def test_steps_may_stand_in_any_order():
    schedule = Schedule(batch_size=1, iterations=100, learning_rate=1.0, steps=(60, 20), gamma=0.5)
    assert [learning_rate(schedule, step) for step in (19, 20, 59, 60)] == [1.0, 0.5, 0.5, 0.25]


def test_swin_s_decay_is_kept_off_by_names():
    """mmcv's rule on the original's names: custom keys of its configuration, each a part of a name, without decay."""
    settings = load_settings("cascade_mask_rcnn_swin_t")
    given = ("absolute_pos_embed", "relative_position_bias_table", "norm")
    case = json.loads((GOLDENS / "cascade_mask_rcnn_swin_t/manifest.json").read_text())
    entries = family_of(settings).layout(settings, "swin_detection")
    canonical = {entry.original: entry.canonical for entry in entries}
    learned = [key for key in case["keys"] if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    found = {key: rate_and_decay(settings.schedule, canonical[key]) for key in learned}
    assert found == {key: (1.0, 0.0 if any(part in key for part in given) else 0.05) for key in learned}
    assert len(found) == 325 - 3 * 12
    kept = ("backbone.patch_embed.proj.bias", "roi_head.bbox_head.1.shared_convs.2.bn.bias", "rpn_head.rpn_cls.bias")
    assert all(found[key][1] == 0.05 for key in kept)
    assert found["backbone.layers.0.downsample.norm.weight"][1] == 0.0


def test_swin_s_rates_are_the_original_s():
    """Linear from a thousandth over 500 iterations, then a tenth from epoch 27 and a hundredth from 33 of 36."""
    schedule, epoch = load_settings("cascade_mask_rcnn_swin_t").schedule, 7330
    expected = {step: 1e-4 * (1 - (1 - step / 500) * (1 - 0.001)) for step in (0, 1, 250, 499)}
    expected |= {500: 1e-4, 27 * epoch - 1: 1e-4, 27 * epoch: 1e-5, 33 * epoch - 1: 1e-5, 33 * epoch: 1e-6}
    for step, rate in expected.items():
        assert learning_rate(schedule, step) == pytest.approx(rate, rel=1e-11), step
    assert schedule.iterations == 36 * epoch
