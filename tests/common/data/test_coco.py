"""Opening and loading data in COCO's format, held against pycocotools and against what the files say."""

import contextlib
import io
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO

from benchmarks.annotations import write_annotations
from common.data import segmentations
from common.data.coco import CocoDataset, resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from tests.common.data.coco_files import HEIGHT, WIDTH, annotation, image, jpeg_to_be_turned, write

REPOSITORY = Path(__file__).parents[3]
SHARED = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=60, seed=5)


def reference(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def assert_as_pycocotools(dataset: CocoDataset) -> None:
    coco = reference(dataset.annotations)
    assert set(dataset.image_ids.tolist()) == set(coco.imgs)
    assert dataset.category_ids == sorted(coco.cats)
    assert dataset.class_names == [coco.cats[each]["name"] for each in sorted(coco.cats)]
    for position in range(len(dataset)):
        sample, objects = dataset.load(position), dataset.objects(position)
        expected = coco.loadAnns(coco.getAnnIds(sample.image_id))
        assert sample.annotation_ids.tolist() == [each["id"] for each in expected]
        pixels = cv2.imread(str(dataset.images / coco.imgs[sample.image_id]["file_name"]))
        np.testing.assert_array_equal(sample.image, pixels[..., ::-1])
        for row, each in enumerate(expected):
            np.testing.assert_array_equal(sample.masks[row], coco.annToMask(each))
            x, y, width, height = each["bbox"]
            np.testing.assert_allclose(sample.boxes[row], [x, y, x + width, y + height], atol=1e-3)
            assert dataset.category_ids[sample.labels[row]] == each["category_id"]
            assert sample.crowd[row] == each["iscrowd"]
            if dataset.keypoint_names:
                np.testing.assert_allclose(objects.keypoints[row].ravel(), each["keypoints"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["instances", "person_keypoints"])
def test_the_synthetic_set_loads_as_pycocotools_reads_it(shapes, kind):
    dataset = resolve(shapes, "train", kind)
    assert len(dataset.keypoint_names) == (17 if kind == "person_keypoints" else 0)
    assert_as_pycocotools(dataset)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not beside this checkout")
@pytest.mark.parametrize(("folder", "classes"), [("coco_persons", 1), ("ochuman", 1), ("coco_panoptic", 133)])
def test_real_images_load_as_pycocotools_reads_them(folder, classes):
    name = "panoptic_coco_detection_format.json" if folder == "coco_panoptic" else "annotations.json"
    dataset = CocoDataset(SHARED / folder / name, SHARED / folder / "images")
    assert len(dataset.class_names) == classes
    assert_as_pycocotools(dataset)


def test_labels_follow_the_category_ids_of_any_file(tmp_path):
    root = write(tmp_path, [image(1)], [annotation(1, 1, category_id=7), annotation(2, 1, category_id=2)])
    dataset = resolve(root, "train")
    assert dataset.class_names == ["dog", "cat"] and dataset.category_ids == [2, 7]
    assert dataset.load(0).labels.tolist() == [1, 0]


def test_boxes_are_cut_and_useless_annotations_left_out(tmp_path):
    square = annotation(1, 1)["segmentation"]
    annotations = [
        annotation(1, 1, bbox=[-5, -5, 12, 12]),
        annotation(2, 1, bbox=[100, 0, 5, 5]),
        annotation(3, 1, bbox=[5, 5, 0, 10]),
        annotation(4, 1, segmentation=[[1, 1, 5, 5]]),
        annotation(5, 1, segmentation=[[1, 1], *square]),
        annotation(6, 1, segmentation={"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}),
        annotation(7, 1, iscrowd=1, segmentation={"size": [HEIGHT, WIDTH], "counts": [30, 60, HEIGHT * WIDTH - 90]}),
    ]
    sample = resolve(write(tmp_path, [image(1)], annotations), "train").load(0)
    assert sample.annotation_ids.tolist() == [1, 5, 6, 7]
    assert sample.boxes[0].tolist() == [0, 0, 7, 7]
    assert sample.crowd.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(sample.masks[1], sample.masks[0])
    crowd = np.zeros((HEIGHT, WIDTH), np.uint8)
    crowd[:, 1:3] = 1  # runs go down the columns
    assert not sample.masks[2].any()
    np.testing.assert_array_equal(sample.masks[3], crowd)


def test_an_image_without_annotations_loads_empty(tmp_path):
    sample = resolve(write(tmp_path, [image(1)], []), "val").load(0)
    assert sample.masks.shape == (0, HEIGHT, WIDTH) and sample.boxes.shape == (0, 4) and len(sample.labels) == 0


def test_key_points_that_are_absent_or_wrong_count_as_unlabelled(tmp_path):
    categories = [{"id": 2, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}]
    points = [1, 2, 2, 0, 0, 0, 5, 6, 1]
    annotations = [annotation(1, 1, keypoints=points), annotation(2, 1), annotation(3, 1, keypoints=points[:-1])]
    dataset = resolve(write(tmp_path, [image(1)], annotations, categories), "train")
    assert dataset.objects(0).keypoints.tolist() == [
        [[1, 2, 2], [0, 0, 0], [5, 6, 1]],
        [[0, 0, 0]] * 3,
        [[0, 0, 0]] * 3,
    ]
    assert dataset.objects(0).keypoints_sound.tolist() == [True, True, False]


def test_a_size_that_is_not_told_comes_from_the_image(tmp_path):
    record = {"id": 1, "file_name": "1.png"}
    sample = resolve(write(tmp_path, [record], [annotation(1, 1)]), "train").load(0)
    assert sample.masks.shape == (1, HEIGHT, WIDTH) and sample.masks.sum() == 100


def test_exif_turns_an_image_only_where_the_annotations_agree(tmp_path):
    write(tmp_path, [image(1, file_name="1.jpg"), image(2, file_name="2.jpg", width=HEIGHT, height=WIDTH)], [])
    turned = jpeg_to_be_turned(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 6)
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "images" / name).write_bytes(turned)
    dataset = resolve(tmp_path, "train")
    for upright in (True, False):
        assert dataset.image(0, upright).shape == (HEIGHT, WIDTH, 3)
        assert dataset.image(1, upright).shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"image 31 \(.*31.png\): No such file"),
        (b"", "image 31 .*cannot be decoded"),
        (b"not an image", "image 31 .*cannot be decoded"),
        ("half", "image 31 .*cannot be decoded"),
        ("small", "image 31 .*is 20x10, while the annotations say 40x30"),
    ],
)
def test_an_image_that_cannot_be_used_is_named(tmp_path, capfd, content, message):
    path = write(tmp_path, [image(31)], []) / "images/31.png"
    if content is None:
        path.unlink()
    elif content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "small":
        cv2.imwrite(str(path), np.zeros((10, 20, 3), np.uint8))
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        resolve(tmp_path, "train").load(0)
    assert capfd.readouterr().err == ""  # OpenCV has nothing to add


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[]", "not an annotation file in COCO's format: Expected `object`, got `array`"),
        ('{"annotations": []}', "not an annotation file in COCO's format: .*missing required field `images`"),
        ('{"images": 3}', "not an annotation file in COCO's format: Expected `array`, got `int`"),
        ('{"images": [', "not valid JSON: Input data was truncated"),
        ('{"images": [], "categories": []} x', "not valid JSON"),
        ('{"images": [], "categories": []}', "no usable image is listed"),
        ('{"images": [{"id": 1}], "categories": []}', "no usable image is listed: 1 images .*id 1: .*`file_name`"),
        ('{"images": [{"id": 1, "file_name": "a"}]}', "no usable category is listed"),
        (b'{"images": [{"id": 1, "file_name": "\xff"}]}', "no usable image is listed: 1 images"),
    ],
)
def test_a_file_that_is_no_annotation_file_is_refused(tmp_path, text, message):
    root = write(tmp_path, [], [])
    (root / "annotations.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"annotations.json: {message}"):
        resolve(root, "train")


def test_layouts(tmp_path):
    contents = json.dumps({"images": [image(1)], "annotations": [], "categories": [{"id": 1}]})
    for root, annotations, images in (
        ("a", "annotations/instances_train2017.json", "train2017"),
        ("b", "annotations/instances_train.json", "train"),
        ("c", "annotations/train.json", "images"),
        ("d", "annotations.json", "images"),
    ):
        (tmp_path / root / images).mkdir(parents=True)
        (tmp_path / root / annotations).parent.mkdir(exist_ok=True)
        (tmp_path / root / annotations).write_text(contents)
        dataset = resolve(tmp_path / root, "train")
        assert (dataset.annotations, dataset.images) == (tmp_path / root / annotations, tmp_path / root / images)
        assert dataset.class_names == ["1"]
    with pytest.raises(UserError, match="no annotations of the split val"):
        resolve(tmp_path / "b", "val")
    (tmp_path / "b/train").rmdir()
    with pytest.raises(UserError, match="no folder of images"):
        resolve(tmp_path / "b", "train")
    with pytest.raises(UserError, match="data folder not found"):
        resolve(tmp_path / "nowhere", "train")


def test_packed_counts_are_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = rng.random(rng.integers(1, 60, 2)) < rng.random() ** 2
        if rng.random() < 0.5:
            mask = np.kron(mask, np.ones((9, 9), bool))
        runs = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=False)), prepend=0, append=mask.size)
        packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        np.testing.assert_array_equal(segmentations.unpack_counts(packed), runs)


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        (None, segmentations.ABSENT),
        ([], segmentations.ABSENT),
        ([[]], segmentations.SHORT_POLYGON),
        ([[1, 1, 9, 1, 9]], segmentations.SHORT_POLYGON),
        ([[1, 1, 1e9, 1, 9, 9]], segmentations.FAR_POLYGON),
        ("text", segmentations.UNREADABLE),
        ([["1", 2, 3, 4, 5, 6]], segmentations.UNREADABLE),
        ({"size": [9, 8], "counts": [2, 70]}, segmentations.WRONG_SIZE),
        ({"size": [8, 9], "counts": [2, 3]}, segmentations.WRONG_SIZE),
        ({"size": [8, 9], "counts": [2, -3, 73]}, segmentations.WRONG_SIZE),
        ({"size": [8, 9], "counts": [10**25]}, segmentations.UNREADABLE),
        ({"size": [8, 9], "counts": "4"}, segmentations.WRONG_SIZE),
        ({"size": [8, 9], "counts": "~~~~"}, segmentations.UNREADABLE),
        ({"size": [8, 9], "counts": "ü"}, segmentations.UNREADABLE),
        ({"counts": [72]}, segmentations.UNREADABLE),
    ],
)
def test_a_segmentation_that_cannot_be_drawn_says_why(segmentation, fault):
    assert segmentations.encode(json.dumps(segmentation).encode(), (8, 9)) == (None, fault)


@pytest.mark.parametrize("segmentation", [[[2, 2, 2, 2, 2, 2]], {"size": [8, 9], "counts": [72]}])
def test_a_mask_without_a_pixel_is_one(segmentation):
    packed, fault = segmentations.encode(json.dumps(segmentation).encode(), (8, 9))
    assert fault == segmentations.EMPTY and rle.decode(packed).shape == (8, 9) and not rle.area(packed)


def test_half_a_point_at_a_polygons_end_is_none():
    whole, half = b"[[1, 1, 9, 1, 9, 9]]", b"[[1, 1, 9, 1, 9, 9, 9]]"
    assert segmentations.encode(half, (20, 20)) == segmentations.encode(whole, (20, 20))
    assert segmentations.read_polygons(half)[0].tolist() == [1, 1, 9, 1, 9, 9]


def _first_masks(dataset: CocoDataset, pipe) -> None:
    # Private_Dirty is what this process alone holds.
    smaps = Path("/proc/self/smaps").read_text()
    mapped = [part for part in smaps.split("VmFlags") if "memfd:triseg" in part]
    private = sum(int(line.split()[1]) for part in mapped for line in part.splitlines() if "Private_Dirty" in line)
    pipe.send((dataset.load(0).masks, len(mapped), private))


def test_a_copy_in_another_process_shares_the_columns(shapes):
    dataset = resolve(shapes, "train")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_first_masks, args=(dataset, theirs))
    process.start()
    masks, mapped, private = ours.recv()
    process.join()
    np.testing.assert_array_equal(masks, dataset.load(0).masks)
    assert mapped > 0 and private == 0


def test_a_copy_refuses_a_file_that_has_changed(shapes, tmp_path):
    root = write(tmp_path, [image(1)], [annotation(1, 1)])
    dataset = resolve(root, "train")
    write(root, [image(1)], [annotation(12345, 1)])
    with pytest.raises(UserError, match="has changed since it was opened"):
        dataset.load(0)


OPEN = """
import resource, sys
from common.data.coco import CocoDataset
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dataset = CocoDataset(sys.argv[1], ".")
size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(size * 1024, len(dataset), dataset.annotation_count)
"""


@pytest.mark.slow
def test_a_large_file_takes_its_share_of_the_memory(tmp_path):
    """A twentieth of COCO train2017: above what the interpreter takes its share of 2 GiB."""
    path = tmp_path / "large.json"
    write_annotations(path, images=5914, instances=43000)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, path], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    size, images, annotations = (float(value) for value in done.stdout.split())
    assert (images, annotations) == (5914, 43000)
    assert size < 2 * 2**30 / 20
