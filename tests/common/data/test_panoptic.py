"""Panoptic data sets: ids in PNGs, layouts, what is wrong with them and what becomes of it."""

import json
import pickle
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from benchmarks.excerpts import write_excerpt, write_synthetic
from common.data.check import check, require_images, rules_of
from common.data.coco import locate, resolve
from common.data.loader import Loader
from common.data.packed import PackedSource
from common.data.panoptic import PanopticDataset, decode_ids, encode_ids
from common.data.shapes import write_shapes
from common.errors import UserError
from common.evaluation.coco import CocoAP
from common.families import families_by_kind, family_of
from common.families.mask2former.samples import Training
from common.models import load_settings
from tests.common.data import coco_files
from tests.common.data.coco_files import HEIGHT, WIDTH, image
from tests.common.data.panoptic_files import AREAS, DOG, SKY, annotation, make_ids, opened, rewrite, segment, write

REPOSITORY = Path(__file__).parents[3]
# For the three classes of the small sets.
SETTINGS = load_settings("mask2former_tiny", ["num_classes=3", "things=2"])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("panoptic") / "shapes", 24, 3, val_images=4, stuff=True)


def faults(root: Path) -> list[str]:
    return [str(fault) for fault in check(opened(root), **rules_of(SETTINGS)).faults]


def test_an_id_is_written_in_three_bytes_red_first():
    ids = np.array([[0, 1, 256], [65536, 65536 * 3 + 256 * 2 + 1, 2**24 - 1]], np.int32)
    pixels = encode_ids(ids)
    assert pixels[0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]] and pixels[1, 1].tolist() == [1, 2, 3]
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(decode_ids(pixels), ids)
    assert decode_ids(pixels).dtype == np.int32


def test_segments_are_read_with_things_before_stuff(tmp_path):
    dataset = opened(write(tmp_path, [image(5), image(6)], [annotation(6), annotation(5)]))
    assert dataset.category_ids == [2, 7, 1] and dataset.class_names == ["dog", "cat", "sky"]
    assert dataset.is_thing.tolist() == [True, True, False] and dataset.annotation_count == 4
    ids, (dog, sky) = dataset.segments(1)
    np.testing.assert_array_equal(ids, make_ids())
    assert (dog.id, dog.label, dog.category_id, dog.crowd, dog.area) == (DOG, 0, 2, False, AREAS[DOG])
    assert (sky.id, sky.label, sky.category_id, sky.crowd, sky.area) == (SKY, 2, 1, False, AREAS[SKY])
    assert dataset.positions_with_annotations().tolist() == [1, 0]
    assert not faults(tmp_path)


def test_an_area_that_is_not_told_is_counted(tmp_path):
    dataset = opened(write(tmp_path, [image(1)], [annotation(1, segment(DOG, area=None), segment(SKY, area=7))]))
    assert [each.area for each in dataset.segments(0)[1]] == [AREAS[DOG], 7]


def test_the_truth_has_the_things_alone_by_their_pixels(tmp_path):
    dataset = opened(write(tmp_path, [image(1), image(2)], [annotation(1), annotation(2, segment(SKY))]))
    (dog,) = dataset.truth(0)
    assert dog["label"] == 0 and dog["bbox"] == [0, 0, 10, HEIGHT] and dog["area"] == AREAS[DOG]
    np.testing.assert_array_equal(rle.decode(dog["segmentation"]), make_ids() == DOG)
    assert dataset.truth(1) == []


def test_instances_are_rated_by_the_segments_that_are_things(shapes):
    dataset, plain = resolve(shapes, "train", "panoptic"), resolve(shapes, "train")
    entries = [
        {"image_id": int(dataset.image_ids[place]), "category_id": plain.category_ids[each["label"]], "score": 0.9}
        | {"segmentation": each["segmentation"], "bbox": each["bbox"]}
        for place in range(len(plain))
        for each in plain.truth(place)
        if not each["iscrowd"]
    ]
    for shape in ("mask", "box"):
        assert CocoAP(dataset).rate([dict(each) for each in entries], shape)["AP"] == pytest.approx(100)


def test_a_set_may_have_a_file_of_the_same_images_instances(shapes, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(shapes, root)
    dataset, plain = resolve(root, "train", "panoptic"), resolve(root, "train")
    assert dataset.instances_file == plain.annotations
    part = dataset.select_images(np.array([7, 2])).instances()
    assert part.image_ids.tolist() == dataset.image_ids[[7, 2]].tolist()
    assert [part.truth(place) for place in range(2)] == [plain.truth(7), plain.truth(2)]
    whole = json.loads(plain.annotations.read_text())
    renamed = [each | {"name": each["name"].upper()} for each in whole["categories"]]
    for change in ({"images": whole["images"][1:]}, {"categories": renamed}, {"categories": whole["categories"][1:]}):
        plain.annotations.write_text(json.dumps(whole | change))
        assert dataset.instances() is None
    plain.annotations.unlink()
    assert dataset.instances_file is None and dataset.instances() is None
    assert opened(write(tmp_path / "other", [image(1)], [annotation(1)])).instances_file is None


def test_parts_and_copies_of_a_set_read_the_same(shapes):
    dataset = resolve(shapes, "train", "panoptic")
    part = dataset.select_images(np.array([7, 2]))
    assert part.image_ids.tolist() == dataset.image_ids[[7, 2]].tolist()
    for place, other in enumerate((7, 2)):
        ids, segments = part.segments(place)
        np.testing.assert_array_equal(ids, dataset.segments(other)[0])
        assert segments == dataset.segments(other)[1] and segments


@pytest.mark.slow
def test_workers_make_the_batches_of_one_process(shapes):
    made = Training(resolve(shapes, "train", "panoptic"), load_settings("mask2former_tiny"))

    def batches(workers: int) -> list:
        with Loader(made, made.collate, len(made), 4, 1, workers) as loader:
            return list(islice(loader, 3))

    for (_, one), (_, other) in zip(batches(0), batches(2), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize(
    ("file", "maps", "images"),
    [
        ("annotations/panoptic_val2017.json", "panoptic_val2017", "val2017"),
        ("annotations/panoptic_val2017.json", "annotations/panoptic_val2017", "val2017"),
        ("annotations/panoptic_val2017.json", "panoptic_val2017", "images/val2017"),
        ("annotations/panoptic_val2017.json", "panoptic_val2017", "images"),
        ("annotations/panoptic_val.json", "annotations/panoptic_val", "val"),
        ("panoptic_examples.json", "panoptic_examples", "images"),
        ("annotations.json", "annotations", "images"),
    ],
)
def test_layouts(tmp_path, file, maps, images):
    made = write(tmp_path / "made", [image(1)], [annotation(1)])
    root = tmp_path / "root"
    for source, target in (("annotations", maps), ("images", images)):
        shutil.copytree(made / source, root / target)
    (root / file).parent.mkdir(exist_ok=True)
    shutil.copy(made / "annotations.json", root / file)
    dataset = resolve(root, "val", "panoptic", SETTINGS.data_files)
    assert isinstance(dataset, PanopticDataset)
    assert dataset.maps == root / maps and dataset.images == root / images
    np.testing.assert_array_equal(dataset.segments(0)[0], make_ids())


def test_a_model_reads_what_its_task_needs():
    assert SETTINGS.data_kind == "panoptic" and len(SETTINGS.data_files) == 1
    instances = load_settings("mask2former_tiny", ["task=instances", "num_classes=4"])
    assert instances.data_kind == "instances" and instances.data_files == ()
    assert load_settings("yolact_tiny").data_kind == "instances"
    assert load_settings("pose2seg_tiny").data_kind == "person_keypoints"
    assert families_by_kind()["panoptic"] is family_of(SETTINGS)
    assert set(families_by_kind()) == {"instances", "person_keypoints", "panoptic"}
    fitted = SETTINGS.with_classes(9, 5)
    assert (fitted.num_classes, fitted.things, sum(fitted.is_thing)) == (9, 5, 5)
    assert (instances.with_classes(9).num_classes, instances.with_classes(9).things) == (9, 9)


def test_annotations_of_another_kind_are_told_in_one_line(tmp_path):
    panoptic = write(tmp_path / "panoptic", [image(1)], [annotation(1)])
    with pytest.raises(UserError, match=r"annotations\.json: these are panoptic annotations"):
        resolve(panoptic, "train")
    plain = coco_files.write(tmp_path / "plain", [image(1)], [coco_files.annotation(1, 1)])
    with pytest.raises(UserError, match=r"annotations\.json: no panoptic annotations, each of which lists"):
        resolve(plain, "train", "panoptic")
    with pytest.raises(UserError, match="category 7 does not say whether it is a thing"):
        rewrite(plain, annotations=[])
        resolve(plain, "train", "panoptic")


def test_a_set_that_has_only_the_other_kind_names_its_files(shapes, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(shapes, root)
    for path in root.glob("annotations/instances_*"):
        path.unlink()
    with pytest.raises(UserError, match=r"there are those of another kind: panoptic_train\.json, person_keypoints"):
        locate(root, "train")


def test_there_must_be_a_folder_of_pngs_where_there_are_segments(tmp_path):
    root = write(tmp_path, [image(1)], [annotation(1)])
    shutil.rmtree(root / "annotations")
    with pytest.raises(UserError, match=r"annotations\.json: no folder of its PNGs; looked for "):
        opened(root)
    rewrite(root, annotations=[])
    ids, segments = opened(root).segments(0)
    assert ids.shape == (HEIGHT, WIDTH) and not ids.any() and segments == []


def test_faulty_records_are_left_out_and_named(tmp_path):
    annotations = [
        annotation(1, segment(DOG), segment(DOG, category_id=7), segment(0), segment(2**24), segment(9, category_id=5)),
        annotation(1, segment(SKY)),
        annotation(77),
        annotation(2, {"category_id": 1}),
    ]
    root = write(tmp_path, [image(1), image(2)], annotations)
    dataset = opened(root)
    assert [str(fault) for fault in dataset.faults] == [
        "1 annotations whose record is not as COCO's, left out "
        "(image id 2: Object missing required field `id` - at `$.segments_info[0]`)",
        "1 annotations of an image that is not listed, left out (77)",
        "1 annotations of an image that has one already, left out (1)",
        "1 segments of a category that is not listed, left out (image 1: 9)",
        "2 segments with an id that is not from 1 to 16777215, left out (image 1: 0, image 1: 16777216)",
        f"1 segments whose id stands before them in the image already, left out (image 1: {DOG})",
    ]
    assert [(each.id, each.label) for each in dataset.segments(0)[1]] == [(DOG, 0)]


def test_what_is_wrong_with_pngs_is_named_with_file_and_image(tmp_path):
    lone = [segment(DOG), segment(SKY), segment(4)]
    images = [image(number) for number in range(1, 9)]
    crowd = annotation(8, segment(DOG, iscrowd=1), segment(SKY))
    listed = [*(annotation(number) for number in range(1, 5)), annotation(6, *lone), crowd, annotation(9, segment(DOG))]
    root = write(tmp_path, [*images, image(9)], listed)
    (root / "images/7.png").unlink()
    maps = root / "annotations"
    (maps / "1.png").unlink()
    cv2.imwrite(str(maps / "2.png"), np.zeros((8, 9, 3), np.uint8))
    cv2.imwrite(str(maps / "3.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    (maps / "4.png").write_bytes(b"nothing")
    report = check(opened(root), **rules_of(SETTINGS))
    lines = [str(fault) for fault in report.faults]
    assert lines == [
        "1 images whose file is missing, not trained on (7)",
        "2 images without an annotation of their segments, not trained on (5, 7)",
        f"1 images whose PNG of segments is missing, not trained on (image 1 ({maps / '1.png'}))",
        "1 images with a crowd, no target but not held against a prediction (8)",
        "2 images without an object, trained on as such (5, 7)",
        "3 images that cannot be read, not to be trained on ("
        f"image 2 ({maps / '2.png'}): the segments' PNG is 9x8, while the image is {WIDTH}x{HEIGHT}, "
        f"image 3 ({maps / '3.png'}): has no segments' ids, which take three bytes a pixel; are these classes alone?, "
        f"image 4 ({maps / '4.png'}): cannot be decoded; the file is broken or no image)",
        f"1 PNGs without a pixel of a segment, trained on as empty (image 6 ({maps / '6.png'}): 4)",
        f"1 PNGs with ids that stand in no segment, taken as void (image 9 ({maps / '9.png'}): {SKY})",
    ]
    assert report.usable.tolist() == [5, 7, 8]
    assert Training(opened(root), SETTINGS).positions.tolist() == [1, 2, 3, 5, 7, 8]
    with pytest.raises(UserError, match=r"3 of 5 images cannot be read: image 2 \("):
        require_images(opened(root), np.array([1, 2, 3, 5, 7]))


def test_training_stops_at_a_png_that_cannot_be_used_with_one_line(tmp_path):
    root = write(tmp_path, [image(3)], [annotation(3)])
    cv2.imwrite(str(root / "annotations/3.png"), np.zeros((8, 9, 3), np.uint8))
    made = Training(opened(root), SETTINGS)
    with Loader(made, made.collate, 1, 1, 0, workers=0) as loader, pytest.raises(UserError) as refused:
        next(loader)
    assert str(refused.value).startswith("image 3 (") and "PNG is 9x8" in str(refused.value)


def test_a_model_of_other_things_is_told_what_makes_it_fit(shapes):
    dataset = resolve(shapes, "train", "panoptic")
    with pytest.raises(UserError, match="has 4 classes of things, mask2former_tiny is set for 3; things=4 makes it"):
        Training(dataset, load_settings("mask2former_tiny", ["things=3"]))
    with pytest.raises(UserError, match="has 6 classes, mask2former_tiny is set for 5"):
        Training(dataset, load_settings("mask2former_tiny", ["num_classes=5"]))


def test_the_command_checks_panoptic_sets(shapes):
    command = [sys.executable, "-m", "common.data.check", str(shapes)]
    for options in (["--kind", "panoptic"], ["--model", "mask2former_tiny"]):
        done = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "panoptic_train.json: 24 images" in done.stdout and "6 classes" in done.stdout


def test_the_synthetic_sets_objects_are_those_without_ground(shapes, tmp_path):
    plain = write_shapes(tmp_path / "plain", 24, 3, val_images=4)
    for kind in ("instances", "person_keypoints"):
        one, other = (json.loads((root / f"annotations/{kind}_train.json").read_text()) for root in (plain, shapes))
        assert one.pop("info") != other.pop("info") and one == other
    dataset, objects = resolve(shapes, "train", "panoptic"), resolve(plain, "train")
    assert dataset.class_names == ["person", "circle", "rectangle", "triangle", "sky", "grass"]
    gaps = 0
    for place in range(len(dataset)):
        ids, segments = dataset.segments(place)
        things = [each for each in segments if each.label < 4]
        packed = objects.objects(place)
        assert [each.label for each in things] == packed.labels.tolist()
        assert [each.crowd for each in things] == packed.crowd.tolist()
        for each, mask in zip(things, packed.rles, strict=True):
            np.testing.assert_array_equal(ids == each.id, rle.decode(mask))
        assert all(np.count_nonzero(ids == each.id) == each.area for each in segments)
        assert not list(dataset.map_faults(place, ids.shape))
        gaps += (ids == 0).any()
    assert 0 < gaps < len(dataset)
    assert write_shapes(shapes, 24, 3, val_images=4, stuff=True) == shapes
    with pytest.raises(UserError, match="holds something else"):
        write_shapes(shapes, 24, 3, val_images=4)


def test_excerpts_have_the_pngs_and_as_many_things_and_stuff_as_a_model(tmp_path, shapes):
    settings = load_settings("mask2former_tiny", ["num_classes=10", "things=7"])
    root = write_synthetic(tmp_path, settings, {"train": 3, "val": 1}, 0, (64, 64))
    for split, count in (("train", 3), ("val", 1)):
        dataset = resolve(root, split, "panoptic")
        assert len(dataset) == count and int(dataset.is_thing.sum()) == 7 and len(dataset.class_names) == 10
        assert not check(dataset).faults
    assert len(Training(resolve(root, "train", "panoptic"), settings)) == 3
    plain = write_excerpt(shapes, tmp_path / "plain", "instances", {"train": 2}, [True] * 6)
    assert len(resolve(plain, "train").class_names) == 6


def test_a_record_holds_no_panoptic_annotations(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({"data": "x", "kind": "instances", "parts": {}}))
    with pytest.raises(UserError, match="no record holds panoptic annotations"):
        PackedSource(tmp_path).training(family_of(SETTINGS), "panoptic")


def test_a_set_is_sent_to_another_process_without_its_text(shapes):
    dataset = resolve(shapes, "train", "panoptic")
    dataset.segments(0)
    assert "_whole_text" in dataset.__dict__ and "_whole_text" not in dataset.__getstate__()
    state = {name: value for name, value in dataset.__getstate__().items() if name != "columns"}
    assert len(pickle.dumps(state)) < 2000
