"""Canonical weights on disk, and what is refused of them."""

import json

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from common.weights import Card, card_path, check_card, check_fit, load, load_card, save, with_card

SETTINGS = load_settings("yolact_tiny")
CARD = Card(
    model="yolact_tiny",
    source="tiny.pth",
    sha256="0" * 64,
    licence="MIT",
    preprocessing=SETTINGS.preprocessing,
    classes=("square", "circle", "triangle", "ring"),
    ap={"segm AP": 51.5},
)
WEIGHTS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
    "b.bias": np.array([np.nan, np.inf, -0.0, 1e-40], np.float32),
    "empty": np.zeros((0, 2), np.float32),
    "scalar": np.float32(3),
}


@pytest.fixture
def path(tmp_path):
    save(tmp_path / "w.safetensors", WEIGHTS, CARD)
    return tmp_path / "w.safetensors"


def test_round_trip(path):
    weights, card = load(path)
    assert card == CARD
    assert set(weights) == set(WEIGHTS)
    for name, array in WEIGHTS.items():
        assert weights[name].shape == array.shape and weights[name].tobytes() == array.tobytes()
        weights[name][...] = 0  # what was loaded may be written to
    assert sorted(p.name for p in path.parent.iterdir()) == ["w.json", "w.safetensors"]


def test_a_write_that_fails_leaves_what_was_there(path):
    before = path.read_bytes(), card_path(path).read_bytes()
    with pytest.raises(UserError, match=r"a\.weight is float64; canonical weights are float32"):
        save(path, {"a.weight": np.zeros(2)}, CARD)
    assert (path.read_bytes(), card_path(path).read_bytes()) == before
    assert len(list(path.parent.iterdir())) == 2


def test_truncated_and_corrupt_files(path, tmp_path):
    whole = path.read_bytes()
    for length in (0, 4, 8, 60, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"w\.safetensors: not a whole safetensors file"):
            load(path)
    for damaged in (
        b"\xff" * 8 + whole[8:],
        whole.replace(b"F32", b"F99"),
        whole.replace(b"F32", b"BF1"),
        whole + b"x",
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"w\.safetensors: not a whole safetensors file"):
            load(path)
    header = b'{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(UserError, match="w is float16"):
        load(path)
    with pytest.raises(UserError, match=r"weights not found: .*nowhere"):
        load(tmp_path / "nowhere.safetensors")


def test_cards_that_are_none(path):
    good = json.loads(card_path(path).read_text())
    changes = {
        "{": "the file: Invalid JSON",
        json.dumps(good | {"licence": None}): "licence: ",
        json.dumps(good | {"colour": "red"}): "colour: Extra inputs",
        json.dumps({key: value for key, value in good.items() if key != "model"}): "model: Field required",
        json.dumps(good | {"preprocessing": {"size": "big"}}): "preprocessing.size: ",
        json.dumps(good | {"preprocessing": {"short_side": "big"}}): "preprocessing.short_side: ",
    }
    for text, message in changes.items():
        card_path(path).write_text(text)
        with pytest.raises(UserError, match=rf"w\.json: not a card of weights: {message}"):
            load_card(path)
    card_path(path).write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="not text"):
        load_card(path)
    card_path(path).unlink()
    with pytest.raises(UserError, match=r"the card of .*w\.safetensors not found: .*w\.json"):
        load(path)


def test_check_fit_names_what_is_wrong():
    shapes = {name: array.shape for name, array in WEIGHTS.items()}
    check_fit(WEIGHTS, shapes, "w")
    with pytest.raises(UserError, match=r"^w: the weights do not fit the model: missing: x$"):
        check_fit(WEIGHTS, shapes | {"x": (1,)}, "w")
    with pytest.raises(UserError, match=r"left over: scalar$"):
        check_fit(WEIGHTS, {name: shape for name, shape in shapes.items() if name != "scalar"}, "w")
    with pytest.raises(UserError, match=r"of another shape: b\.bias \(4,\) instead of \(2, 2\)$"):
        check_fit(WEIGHTS, shapes | {"b.bias": (2, 2)}, "w")
    with pytest.raises(UserError, match=r"missing: n0, n1, n2 and 7 more$"):
        check_fit(WEIGHTS, shapes | {f"n{k}": (1,) for k in range(10)}, "w")


def test_check_card():
    check_card(CARD, SETTINGS, "w")
    copy = SETTINGS.model_copy(update={"model": "my_copy"})
    check_card(CARD, copy, "w")
    with pytest.raises(UserError, match="these are weights of yolact_tiny, not of yolact_base"):
        check_card(CARD, load_settings("yolact_base"), "w")
    with pytest.raises(UserError, match="these are weights of somebodys, not of yolact_tiny"):
        check_card(CARD.model_copy(update={"model": "somebodys"}), SETTINGS, "w")
    with pytest.raises(UserError, match="the weights know 4 classes, the settings 7"):
        check_card(CARD, load_settings("yolact_tiny", ["num_classes=7"]), "w")


MASK_RCNN = load_settings("mask_rcnn_tiny")
COPIES = {
    "convention": ["convention=detectron2"],
    "rpn.anchor_ratios": ["rpn.anchor_ratios=[1.0, 2.0, 3.0]"],
    "network.sampling_ratio": ["network.sampling_ratio=0"],
    "network.aligned": ["network.aligned=true"],
    "network.backbone.norm_eps": ["network.backbone.norm_eps=0.001"],
    "network.backbone.stride_in": ["network.backbone.stride_in=3x3"],
}


def _card_of(settings, **facts):
    known = {"source": "test", "licence": "none", "preprocessing": settings.preprocessing}
    return Card(model=settings.model, classes=[f"{n}" for n in range(settings.num_classes)], **known, **facts)


@pytest.mark.parametrize("key", COPIES)
@pytest.mark.parametrize("old", [False, True], ids=["", "a card without numerics"])
@pytest.mark.parametrize("name", ["mask_rcnn_tiny", "my_copy"])
def test_settings_that_change_numbers_but_no_shape_are_compared(key, old, name):
    card = _card_of(MASK_RCNN, numerics=None if old else json.loads(json.dumps(MASK_RCNN.numerics())))
    with_card(MASK_RCNN.model_copy(update={"model": name}), card, "w")
    changed = load_settings("mask_rcnn_tiny", COPIES[key]).model_copy(update={"model": name})
    with pytest.raises(UserError, match=f"^w: these (are weights of|weights were not).*: {key} is .*, theirs is "):
        with_card(changed, card, "w")


def test_numerics_of_a_card_stand_before_those_of_its_variant():
    changed = load_settings("mask_rcnn_tiny", COPIES["convention"])
    card = _card_of(changed, numerics=changed.numerics())
    check_card(card, changed, "w")
    with pytest.raises(UserError, match="convention is maskrcnn_benchmark, theirs is detectron2"):
        check_card(card, MASK_RCNN, "w")
    # One that does not tell was trained, for all that is known, with what is given again.
    check_card(_card_of(changed), changed, "w", COPIES["convention"])


def test_what_training_alone_reads_is_no_difference():
    card = _card_of(MASK_RCNN, numerics=MASK_RCNN.numerics())
    other = load_settings("mask_rcnn_tiny", ["network.frozen_stages=1"]).model_copy(update={"model": "mine"})
    check_card(card, other, "w")


def test_a_card_has_an_id_of_every_class_or_none():
    with pytest.raises(ValueError, match="category_ids: 1 ids of 4 classes"):
        Card(**CARD.model_dump() | {"category_ids": (1,)})


def test_a_cards_preprocessing_stands_but_for_what_is_overridden():
    own = CARD.preprocessing.model_copy(update={"mean": (1.0, 2.0, 3.0), "size": 96})
    card = CARD.model_copy(update={"preprocessing": own})
    for overrides, size in ((["num_classes=9"], 96), (["preprocessing.size=128"], 128)):
        settings = with_card(load_settings("yolact_tiny", overrides), card, "w", overrides)
        assert (settings.preprocessing.mean, settings.preprocessing.size) == ((1.0, 2.0, 3.0), size)
        assert settings.num_classes == len(CARD.classes)
