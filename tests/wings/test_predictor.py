"""A trained model from Python, on a model of each kind: what is found, drawn, shown as heat, and refused."""

import cv2
import numpy as np
import pytest

from common.errors import UserError
from common.families import family_of
from common.models import load_settings
from common.weights import Card, save
from tests.goldens import golden

# Between the scores that the golden weights lead to.
THRESHOLDS = {"mask_rcnn_tiny": 0.9, "yolact_tiny": 0.6}
CLASSES = ("circle", "square", "star", "cross")


@pytest.fixture(scope="module", params=THRESHOLDS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def weights(model, wing, tmp_path_factory):
    """A file with the golden cases' rule for weights."""
    settings = load_settings(model, [f"num_classes={len(CLASSES)}"])
    shapes = wing("learner").Learner(settings, "cpu").shapes()
    path = tmp_path_factory.mktemp(model) / "w.safetensors"
    card = Card(model=model, source="a test", licence="none", preprocessing=settings.preprocessing, classes=CLASSES)
    save(path, {name: golden.weight(name, shape) for name, shape in shapes.items()}, card)
    return path


@pytest.fixture(scope="module")
def predictor(model, weights, wing):
    return wing("predictor").Predictor(model, weights, device="cpu", confidence_threshold=THRESHOLDS[model])


@pytest.fixture(scope="module")
def image():
    return np.random.RandomState(0).randint(0, 255, (90, 120, 3), np.uint8)


@pytest.fixture(scope="module")
def found(predictor, image):
    return predictor.predict(image)


@pytest.mark.compiled
def test_what_it_finds_is_what_the_learner_finds(model, weights, wing, predictor, image, found):
    settings = predictor.settings
    samples = family_of(settings).samples
    batch = samples.join([samples.prepare(image, settings)], settings)
    learner = wing("learner").Learner(settings, "cpu")
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    (everything,) = learner.predict(batch, 0.0)
    expected = everything[everything.scores > THRESHOLDS[model]][:100]
    assert 3 < len(found) == len(expected) < len(everything)
    assert found.image_size == (90, 120) and found.masks.shape == (len(found), 90, 120)
    assert np.all(np.diff(found.scores) <= 0)
    for name in ("boxes", "scores", "labels", "masks"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)


def test_top_k_and_the_names_of_classes(weights, wing, predictor, image, found):
    renamed = wing("predictor").Predictor(
        None, weights, device="cpu", confidence_threshold=predictor.confidence_threshold, top_k=2, classes="abcd"
    )
    assert renamed.settings == predictor.settings  # the card tells the model
    assert (predictor.classes, renamed.classes) == (CLASSES, ("a", "b", "c", "d"))
    np.testing.assert_array_equal(renamed.predict(image).scores, found.scores[:2])


def test_drawing(predictor, image, found):
    before = image.copy()
    again, drawn = predictor.run(image)
    assert len(again) == len(found) and np.array_equal(image, before)
    assert drawn.shape == image.shape and np.any(drawn != image)
    np.testing.assert_array_equal(predictor.draw(image, found[:0]), image)
    of_opencv = predictor.run_on_opencv_image(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    np.testing.assert_array_equal(cv2.cvtColor(of_opencv, cv2.COLOR_BGR2RGB), drawn)


def test_heat_maps_are_what_the_masks_are_cut_from(predictor, found):
    heat = predictor.heat_maps(found)
    assert heat.shape == found.masks.shape and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() <= 1 and len(np.unique(heat)) > 100
    np.testing.assert_array_equal(heat > 0.5, found.masks)


def test_a_montage_has_the_best_in_the_first_places(predictor, image, found):
    shown = predictor.montage(image, found)
    assert shown.shape == image.shape and shown.dtype == np.uint8
    np.testing.assert_array_equal(predictor.montage(image), shown)
    empty = predictor.montage(image, found[:0])
    assert len(np.unique(empty.reshape(-1, 3), axis=0)) == 1
    one = predictor.montage(image, found[1:2])
    np.testing.assert_array_equal(one[:45, :60], shown[:45, 60:])  # the second stands right of the first
    np.testing.assert_array_equal(one[45:], empty[45:])


def test_short_side(model, weights, wing, image, found):
    if model == "yolact_tiny":
        with pytest.raises(UserError, match="short_side: yolact_tiny takes images of one size alone"):
            wing("predictor").Predictor(model, weights, short_side=96)
        return
    smaller = wing("predictor").Predictor(
        model, weights, device="cpu", confidence_threshold=THRESHOLDS[model], short_side=96
    )
    assert smaller.settings.preprocessing.short_side == 96
    assert smaller.settings.preprocessing.long_side == load_settings(model).preprocessing.long_side
    other = smaller.predict(image)
    assert other.image_size == found.image_size
    assert len(other) != len(found) or not np.allclose(other.boxes, found.boxes)


def test_what_is_no_image_or_no_model_is_refused(model, weights, wing, predictor, image):
    for wrong, line in (
        (image.astype(np.float32), r"uint8, not float32 \(90, 120, 3\)"),
        (image[:, :, 0], r"not uint8 \(90, 120\)"),
        ("photo.jpg", "not str"),
        (image[:0], r"the image is empty: \(0, 120, 3\)"),
    ):
        for call in (predictor.predict, predictor.run_on_opencv_image):
            with pytest.raises(UserError, match=line):
                call(wrong)
    with pytest.raises(UserError, match=f"{model} takes no key points"):
        predictor.predict(image, np.zeros((1, 17, 3)))
    make = wing("predictor").Predictor
    with pytest.raises(UserError, match="the weights are missing"):
        make(model)
    with pytest.raises(UserError, match="knows 4 classes, 2 names are given"):
        make(model, weights, classes=("a", "b"))
    with pytest.raises(UserError, match=r"absent\.pth does not tell its model"):
        make(None, "absent.pth")
    with pytest.raises(UserError, match="these are weights of"):
        make("yolact_base" if model == "yolact_tiny" else "mask_rcnn_r50_c4", weights)


def test_yolact_plus_shows_instances_by_the_scores_of_their_masks(wing, tmp_path, image):
    overrides = [f"num_classes={len(CLASSES)}", "network.mask_iou=true", "preprocessing.size=256"]
    settings = load_settings("yolact_tiny", overrides)
    learner = wing("learner").Learner(settings, "cpu")
    arrays = {name: golden.weight(name, shape) for name, shape in learner.shapes().items()}
    arrays["mask_iou_net.conv6.bias"] = np.float32([0.4, 0.6, 0.8, 1.0])
    facts = {"source": "a test", "licence": "none", "preprocessing": settings.preprocessing}
    save(tmp_path / "w.safetensors", arrays, Card(model="yolact_tiny", classes=CLASSES, **facts))
    learner.load_weights(arrays)
    samples = family_of(settings).samples
    (everything,) = learner.predict(samples.join([samples.prepare(image, settings)], settings), 0.1)
    rated = np.sort(everything.mask_scores)[::-1]
    threshold = float(rated[3] + rated[4]) / 2
    given = {"device": "cpu", "confidence_threshold": threshold, "overrides": overrides}
    found = wing("predictor").Predictor("yolact_tiny", tmp_path / "w.safetensors", **given).predict(image)
    confident = everything[everything.scores > threshold]
    expected = np.sort(confident.mask_scores[confident.mask_scores >= threshold])[::-1]
    assert 0 < len(found) < len(confident)
    assert np.any(np.diff(confident.mask_scores) > 0)  # another order than the boxes'
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
