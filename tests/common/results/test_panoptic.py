"""Panoptic results are drawn, saved, read back, rated and compared."""

import base64
import json
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from common.data.coco import resolve
from common.data.panoptic import write_ids
from common.errors import UserError
from common.results import INSTANCES, PANOPTIC, Classes, Parts, Prediction
from common.results.panoptic_files import decode_map, encode_map
from tests.common.results.panoptic_made_up import CLASSES, IDS, IS_THING, Dataset, collect, perfect, without

DATASET = Dataset()


@pytest.fixture
def found():
    return perfect(DATASET, 0)


@pytest.fixture
def image():
    return np.full((40, 60, 3), 90, np.uint8)


@pytest.fixture
def results():
    return collect(PANOPTIC, [perfect(DATASET, 0), perfect(DATASET, 1)], DATASET.image_ids)


def predicted(found, image=None, name="street.jpg"):
    return Prediction(name, 4, image, found, Classes(CLASSES, IDS))


def save(form, path, *of):
    PANOPTIC.forms[form].write(path, predicted(*of))


def test_drawing_shows_segments_borders_and_leaves_the_input(image, found):
    drawn = PANOPTIC.draw(image, found, CLASSES, Parts(names=False))
    assert (image == 90).all() and drawn.shape == image.shape
    assert (drawn[:, 56:] == 90).all()  # nothing is found there
    assert (drawn[10:30, 4] == 255).all()  # between the person and what is left of it
    inside = drawn[25, 10], drawn[25, 40], drawn[3, 3], drawn[38, 3]
    assert len({tuple(colour) for colour in inside}) == 4
    assert not np.array_equal(PANOPTIC.draw(image, found, CLASSES), drawn)  # names
    assert np.array_equal(PANOPTIC.draw(image, found, CLASSES, Parts(masks=False, names=False)), image)


def test_nothing_found_is_drawn_as_the_image(image, found):
    nothing = found
    for number in found.ids:
        nothing = without(nothing, number)
    assert np.array_equal(PANOPTIC.draw(image, nothing, CLASSES), image)


def test_a_class_has_the_colour_that_instances_have(image, found):
    parts = Parts(boxes=False, names=False)
    instances = INSTANCES.draw(image, found.instances, CLASSES, parts)
    assert np.array_equal(PANOPTIC.draw(image, found, CLASSES, parts)[25, 10], instances[25, 10])


def test_what_is_saved_as_npz_is_read_back(tmp_path, found):
    save("npz", tmp_path / "a.npz", found)
    read, names = PANOPTIC.read_arrays(tmp_path / "a.npz")
    assert names == CLASSES and read.image_size == (40, 60)
    for each in fields(found):
        if each.name not in ("image_size", "instances"):
            np.testing.assert_array_equal(getattr(read, each.name), getattr(found, each.name))
    for name in ("boxes", "scores", "labels", "masks"):
        np.testing.assert_array_equal(getattr(read.instances, name), getattr(found.instances, name))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(UserError, match=r"b\.npz: not an archive"):
        PANOPTIC.read_arrays(tmp_path / "b.npz")


def test_masks_are_files_of_their_segments(tmp_path, found):
    save("masks", tmp_path / "masks", found)
    names = ["001_person_0.90.png", "002_dog_0.80.png", "003_sky_0.70.png", "004_grass_0.60.png"]
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == names
    mask = cv2.imread(str(tmp_path / "masks" / names[1]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask == 255, found.segment_map == 2)


def test_ids_are_red_green_and_blue():
    ids = np.array([[0, 1, 255], [256, 65536, 70000]], np.int32)
    entry = {"image_id": 1, "png": encode_map(ids)}
    np.testing.assert_array_equal(decode_map(entry), ids)
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(entry["png"]), np.uint8), cv2.IMREAD_COLOR)
    assert pixels[1, 2].tolist() == [1, 17, 112]  # blue, green, red of 112 + 256 * 17 + 65536


def test_json_is_coco_panoptic_with_a_folder_of_pngs(tmp_path, found):
    path = tmp_path / "out/found.json"
    save("json", path, found, None, "000042.jpg")
    (record,) = json.loads(path.read_text())["annotations"]
    assert (record["image_id"], record["file_name"]) == (42, "000042.jpg.png")
    assert record["segments_info"][1] == {
        "id": 2,
        "category_id": 18,
        "isthing": True,
        "score": pytest.approx(0.8),
        "category": "dog",
    }
    assert sorted(path.name for path in path.parent.iterdir()) == ["found", "found.json"]
    (entry,) = PANOPTIC.read_entries(path)
    assert entry == PANOPTIC.named_entries(predicted(found, None, "000042.jpg"))[0]
    np.testing.assert_array_equal(decode_map(entry), found.segment_map)


def test_json_is_written_whole_or_not_at_all(tmp_path, found, results, monkeypatch):
    path = tmp_path / "found.json"
    broken = [results["panoptic"][0], results["panoptic"][1] | {"png": None}]
    with pytest.raises(TypeError):
        PANOPTIC.write_entries(path, broken)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "found").write_text("mine")
    with pytest.raises(UserError, match=r"found\.json: the PNGs would go into the folder .*found, which is a file"):
        PANOPTIC.write_entries(path, results["panoptic"])
    assert [each.name for each in tmp_path.iterdir()] == ["found"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "not valid JSON"),
        ('{"images": []}', "neither COCO panoptic results nor a list"),
        ('{"annotations": [{"image_id": 1}]}', "not an annotation of COCO panoptic results"),
        (
            '{"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1}]}]}',
            "not an annotation of COCO panoptic results",
        ),
        ('{"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}]}', r"a\.png: No such file"),
        ('{"annotations": [{"image_id": 1, "file_name": "b.png", "segments_info": []}]}', r"b\.png: cannot be decoded"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, content, line):
    (tmp_path / "found").mkdir()
    (tmp_path / "found/b.png").write_text("no image")
    path = tmp_path / "found.json"
    path.write_text(content)
    with pytest.raises(UserError, match=line):
        PANOPTIC.read_entries(path)


def test_entries_fit_into_json_and_are_written_by_what_they_are(tmp_path, results):
    assert json.loads(json.dumps(results)) == results
    assert [entry["file_name"] for entry in results["panoptic"]] == ["000000000042.png", "000000000007.png"]
    assert [(entry["image_id"], entry["category_id"]) for entry in results["mask"]] == [(42, 1), (42, 18), (7, 1)]
    assert [entry["category_id"] for entry in results["semantic"][:4]] == IDS
    for name, entries in results.items():
        PANOPTIC.write_entries(tmp_path / f"{name}.json", entries)
        assert PANOPTIC.read_entries(tmp_path / f"{name}.json") == entries
    assert (tmp_path / "panoptic/000000000042.png").is_file()


def test_classes_that_the_data_set_has_not_are_left_out(found):
    made = PANOPTIC.entries(42, found, [1, -1, 187, 193])
    assert [each["id"] for each in made["panoptic"][0]["segments_info"]] == [1, 3, 4]
    segment_map = decode_map(made["panoptic"][0])
    assert not (segment_map == 2).any() and ((segment_map == 0) == np.isin(found.segment_map, (0, 2))).all()
    assert [entry["category_id"] for entry in made["mask"]] == [1]
    assert [entry["category_id"] for entry in made["semantic"]] == [1, 187, 193]


def test_thresholds_choose_instances_alone(found):
    shown = found.ranked(0.85, 100)
    assert len(found.ranked(0.0, 1).instances) == 1 and len(PANOPTIC.entries(1, found, IDS, 1)["mask"]) == 1
    assert len(shown) == 4 and shown.segment_map is found.segment_map


def test_a_perfect_answer_has_the_best_figures(results):
    figures = PANOPTIC.rating(DATASET)(results)
    segments = figures["panoptic"]
    assert [segments[name] for name in ("PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ-person")] == [100.0] * 6
    assert (segments["N"], segments["N_th"], segments["N_st"]) == (4, 2, 2)
    # A crowd is no segment that could be found, but its pixels have their class.
    assert figures["mask"]["AP"] == pytest.approx(100)
    assert [figures["semantic"][name] for name in ("mIoU", "fwIoU", "mACC", "pACC")] == [100.0] * 4
    lines = PANOPTIC.lines(figures)
    assert lines[0] == "panoptic PQ (panoptic quality, all classes) 100.0"
    assert any(line.startswith("mask AP (COCO segm") for line in lines)
    assert lines[9] == "semantic mIoU (mean IoU of the classes) 100.0"
    assert not any("person" in line for line in lines)
    summary = PANOPTIC.summary(figures)
    assert "All       | 100.0  100.0  100.0     4" in summary and "person    | 100.0  100.0  100.0" in summary
    assert " IoU-sky = 100.000" in summary
    assert next(iter(PANOPTIC.main_figures(figures).items())) == ("panoptic PQ (panoptic quality, all classes)", 100)


def test_what_is_missed_or_wrong_lowers_its_own_figures(found, results):
    half = without(found, 2)
    semantic = np.where(found.semantic == 1, 0, found.semantic)
    other = collect(PANOPTIC, [replace(half, semantic=semantic), perfect(DATASET, 1)], DATASET.image_ids)
    figures = PANOPTIC.rating(DATASET)(other | {"mask": results["mask"]})
    assert figures["panoptic"]["PQ-dog"] == 0 and figures["panoptic"]["PQ_th"] == 50
    assert figures["panoptic"]["PQ_st"] == 100 and figures["mask"]["AP"] == pytest.approx(100)
    assert figures["semantic"]["IoU-dog"] == 0 and figures["semantic"]["IoU-person"] < 100


def test_boundaries_and_limits_are_those_of_instances(results):
    figures = PANOPTIC.rating(DATASET, boundaries=True, limits=(1, 10, 100))(results)
    assert figures["boundary"]["AP"] == pytest.approx(100)
    assert any("boundary AP" in line for line in PANOPTIC.lines(figures))
    assert "boundary" not in PANOPTIC.rating(DATASET, by_reference=True)(results)


@pytest.fixture
def on_disk(tmp_path):
    """The data set in files, in the layout of a panoptic set."""
    annotations = []
    for position, image_id in enumerate(DATASET.image_ids.tolist()):
        ids, segments = DATASET.segments(position)
        (tmp_path / "annotations/panoptic_val").mkdir(parents=True, exist_ok=True)
        write_ids(tmp_path / f"annotations/panoptic_val/{image_id}.png", ids)
        listed = [{"id": each.id, "category_id": each.category_id, "iscrowd": int(each.crowd)} for each in segments]
        annotations.append({"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": listed})
    categories = [
        {"id": number, "name": name, "isthing": int(is_thing)}
        for number, name, is_thing in zip(IDS, CLASSES, IS_THING, strict=True)
    ]
    images = [
        {"id": each, "file_name": f"{each}.jpg", "height": 40, "width": 60} for each in DATASET.image_ids.tolist()
    ]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations/panoptic_val.json").write_text(json.dumps(whole))
    (tmp_path / "val").mkdir()
    return tmp_path


def test_a_png_is_read_once_for_all_figures(on_disk, results, monkeypatch):
    dataset, read = resolve(on_disk, "val", "panoptic"), []
    real = dataset._read_map
    monkeypatch.setattr(dataset, "_read_map", lambda *args: read.append(args[0]) or real(*args))
    rate = PANOPTIC.rating(dataset)
    assert read == []
    figures = json.dumps(rate(results))  # as text, in which NaN equals NaN
    assert read == [0, 1] and figures == json.dumps(PANOPTIC.rating(DATASET)(results))
    assert json.dumps(rate(results)) == figures and read == [0, 1] * 2


def test_instances_are_rated_by_cocos_file_of_them(on_disk, results):
    """There the dog lies behind the person, too; both have what the segments have otherwise."""
    path = on_disk / "annotations/instances_val.json"
    whole = json.loads((on_disk / "annotations/panoptic_val.json").read_text())
    whole["categories"] = whole["categories"][:2]
    (person, dog), (crowd,) = (DATASET.truth(position) for position in (0, 1))
    behind = np.asfortranarray(rle_tools.decode(dog["segmentation"]))
    behind[15:30, 5:30] = 1
    objects = [(42, person), (42, dog | {"segmentation": rle_tools.encode(behind)}), (7, crowd)]
    whole["annotations"] = [
        {"id": number, "image_id": image_id, "category_id": IDS[each["label"]], "bbox": each["bbox"]}
        | {"iscrowd": each["iscrowd"], "area": each["area"]}
        | {"segmentation": each["segmentation"] | {"counts": each["segmentation"]["counts"].decode()}}
        for number, (image_id, each) in enumerate(objects, start=1)
    ]
    path.write_text(json.dumps(whole))
    dataset = resolve(on_disk, "val", "panoptic")
    rate = PANOPTIC.rating(dataset)
    assert rate.note == f"instances are rated by {path}"
    figures = rate(results)
    assert figures["panoptic"]["PQ"] == 100
    # 400 of 775 pixels: the dog is found at the least of ten IoUs, and the person at all of them.
    assert figures["mask"]["AP"] == pytest.approx((10 + 100) / 2)
    path.write_text(json.dumps(whole | {"images": whole["images"][1:]}))
    rate = PANOPTIC.rating(dataset)
    things = f"instances are rated by the things of {dataset.annotations}"
    assert rate.note == f"{things}, as {path} has other images or classes"
    assert rate(results)["mask"]["AP"] == pytest.approx(100)
    path.unlink()
    assert PANOPTIC.rating(dataset).note == things


def test_a_missing_png_shows_before_there_are_results(on_disk):
    path = on_disk / "annotations/panoptic_val/7.png"
    path.unlink()
    with pytest.raises(UserError, match=rf"panoptic_val\.json: 1 PNGs of segments are missing: {path}$"):
        PANOPTIC.rating(resolve(on_disk, "val", "panoptic"))


def test_an_annotated_image_needs_a_result(results):
    rate = PANOPTIC.rating(DATASET)
    with pytest.raises(UserError, match=r"panoptic\.json: image 7 has no panoptic result"):
        rate(results | {"panoptic": results["panoptic"][:1]})


def test_equal_results_compare_as_equal(results):
    compared = PANOPTIC.compare(results, results, DATASET)
    assert all(np.array_equal(pair.reference, pair.other) for pair in compared)
    assert [pair.name for pair in compared] == [
        "segments",
        "segment scores",
        "segment IoU",
        "pixels in the same segment",
        "pixels of the same class",
        "detections",
        "mask scores",
        "mask IoU",
        "panoptic figures",
        "semantic figures",
        "COCO figures of masks",
    ]


def test_what_differs_shows_where_it_belongs(found, results):
    moved = replace(without(found, 4), scores=without(found, 4).scores + np.float32(0.05))
    moved.segment_map[10:30, 5:10] = 0  # a third of the person
    moved.semantic[:4] = 3  # of the sky
    other = collect(PANOPTIC, [moved, perfect(DATASET, 1)], DATASET.image_ids)
    compared = {pair.name: pair for pair in PANOPTIC.compare(results, other, DATASET)}
    assert (compared["segments"].reference, compared["segments"].other) == ([6], [5])
    scores = compared["segment scores"]
    np.testing.assert_allclose((scores.other - scores.reference)[:3], 0.05, rtol=1e-5)
    assert compared["segment IoU"].other.min() == pytest.approx(200 / 300)
    lost = 100 + (found.segment_map == 4).sum()
    np.testing.assert_allclose(compared["pixels in the same segment"].other, [1 - lost / 2400, 1])
    np.testing.assert_allclose(compared["pixels of the same class"].other, [1 - 4 * 55 / 2400, 1])
    assert compared["panoptic figures"].other[0] < 100 and compared["semantic figures"].other[0] < 100


def test_a_segment_of_another_class_is_no_partner(found, results):
    renamed = replace(found, labels=np.array([0, 0, 2, 3]))  # the dog is a person
    other = collect(PANOPTIC, [renamed, perfect(DATASET, 1)], DATASET.image_ids)
    compared = {pair.name: pair for pair in PANOPTIC.compare(results, other, DATASET)}
    assert (compared["segments"].reference, compared["segments"].other) == ([6], [5])
    share = 1 - (found.segment_map == 2).sum() / 2400
    np.testing.assert_allclose(compared["pixels in the same segment"].other, [share, 1])


def test_modelscope_s_pipeline_answers_with_things_first_and_the_last_of_each(found):
    answer = found.modelscope_output(CLASSES)
    assert answer["labels"] == ["dog", "person", "grass", "sky"] and answer["scores"] == [0.999] * 4
    assert all(mask.dtype == np.int32 and mask.shape == (40, 60) for mask in answer["masks"])
    np.testing.assert_array_equal(answer["masks"][0] == 1, found.segment_map == 2)


def test_masks_of_classes_are_whole(results, found):
    masks = [rle_tools.decode(each["segmentation"]) for each in results["semantic"] if each["image_id"] == 42]
    np.testing.assert_array_equal(np.argmax(masks, axis=0), found.semantic)
    assert (np.sum(masks, axis=0) == 1).all()
