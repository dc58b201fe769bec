"""What predict and evaluate do with images that cannot be read, and with files that cannot be rated on."""

import json

import cv2
import numpy as np
import pytest

from common.commands import predict
from common.errors import UserError
from common.weights import Card, load_card, save_card
from tests.common.commands import test_commands as commands

fake_wing, shapes, weights = commands.fake_wing, commands.shapes, commands.weights


def folder_with_broken_images(folder, broken):
    folder.mkdir()
    whole = cv2.imencode(".png", np.zeros((120, 140, 3), np.uint8))[1].tobytes()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(whole)
    for number in range(broken):
        (folder / f"2_{number:02d}.png").write_bytes(whole[:40])
    return folder


@pytest.mark.parametrize("broken", [2, 30])
def test_predict_goes_on_past_broken_images_and_names_them_at_the_end(tmp_path, weights, broken):
    source = folder_with_broken_images(tmp_path / "in", broken)
    with pytest.raises(UserError) as refused:
        commands.run_predict(weights, source, "--output", tmp_path / "all.json")
    line = str(refused.value)
    assert line.startswith(f"{broken} of {broken + 4} images were left out: image {source / '2_00.png'}: cannot be")
    assert line.count("cannot be decoded") == min(broken, 10) and ("..." in line) == (broken > 10)
    entries = json.loads((tmp_path / "all.json").read_text())
    assert [entry["file_name"] for entry in entries[::2]] == ["0.png", "1.png", "2.png", "3.png"]


def test_category_ids_are_the_cards(tmp_path, weights, shapes):
    image = sorted((shapes / "val").iterdir())[0]

    def ids(card):
        save_card(weights, card)
        commands.run_predict(weights, image, "--output", tmp_path / "a.json")
        return [entry["category_id"] for entry in json.loads((tmp_path / "a.json").read_text())]

    card = load_card(weights)
    assert ids(card) == [2, 1]  # a card that tells none
    assert ids(card.model_copy(update={"category_ids": (7, 90, 3, 4)})) == [90, 7]
    save_card(weights, card)


def test_a_card_without_ids_of_cocos_classes_has_cocos():
    from weights_convert.class_names import COCO, class_names

    facts = {"source": "", "licence": "", "preprocessing": commands.load_settings(commands.MODEL).preprocessing}
    names, ids = predict._classes(Card(model="yolact_base", classes=COCO, **facts))
    assert (names[-1], ids[-1], len(ids)) == ("toothbrush", 90, 80)
    names, ids = predict._classes(Card(model="mask_rcnn_r50_fpn_torchvision", classes=class_names(90), **facts))
    assert (names[-1], ids[-1], len(ids)) == ("toothbrush", 90, 90)
    assert predict._classes(Card(model="x", classes=("a", "b"), **facts)).category_ids == (1, 2)
