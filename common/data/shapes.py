"""Makes a small synthetic data set in COCO's format: coloured shapes and stick persons that overlap.

    python -m common.data.shapes OUT --images 400 --seed 0

writes OUT/annotations/{instances,person_keypoints}_{train,val}.json and the images in OUT/train and OUT/val. The
same arguments give the same bytes. With --persons the images hold persons alone, of any colour, many of them in front
of another. With --stuff the same objects stand on sky and grass, and OUT/annotations has panoptic_{train,val}.json,
too, with the PNGs in panoptic_{train,val}.
"""

import argparse
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle
from tqdm import tqdm

from common.config.sections import DataKind
from common.data import figures
from common.data.ground import STUFF, Ground
from common.data.panoptic import write_ids
from common.errors import UserError, run_command


@dataclass(frozen=True)
class Category:
    """A class of the set's objects."""

    identity: int  # with gaps, as COCO's ids have
    name: str
    hue: float  # degrees
    draw: Callable[[float, np.random.Generator], figures.Figure]  # takes the figure's size in pixels


CATEGORIES = (
    Category(1, "person", 45.0, figures.draw_person),
    Category(3, "circle", 350.0, figures.draw_circle),
    Category(4, "rectangle", 130.0, figures.draw_rectangle),
    Category(8, "triangle", 220.0, figures.draw_triangle),
)
PERSON = CATEGORIES[0]

_SPLITS = ("train", "val")
_FIRST_ID = {"train": 1, "val": 1_000_001}
_MOST_OBJECTS = 4  # in an image
_MOST_PERSONS = 3  # in an image of a set of persons alone
_EMPTY_SHARE = 0.02  # of the images hold no object
_CROWD_SHARE = 0.04  # of the images hold a crowd of small circles
_FREE_SHARE = 0.6  # of the objects must not hide others
_MOST_HIDDEN = 0.4  # the share of an object that others may hide
_UNLABELLED_SHARE = 0.05  # of the key points are unlabelled
_CLOSE_SHARE = 0.6  # of the persons in a set of persons alone stand in front of another
_MOST_HIDDEN_PERSON = 0.65  # the share of a person that others may hide in a set of persons alone
_ATTEMPTS = 20  # at finding an object a place


@dataclass
class _PlacedObject:
    """An object in an image; `full` (H, W) bool is its mask as if no other hid a part of it."""

    category: Category
    figure: figures.Figure
    full: np.ndarray
    crowd: bool = False


def forms_of(kind: DataKind) -> dict[str, bool]:
    """The options of `write_shapes` with which a set is one for a kind of annotations."""
    return {"persons": kind == "person_keypoints", "stuff": kind == "panoptic"}


def write_shapes(
    out: str | os.PathLike,
    images: int,
    seed: int,
    size: tuple[int, int] = (128, 160),
    val_images: int | None = None,
    persons: bool = False,
    stuff: bool = False,
) -> Path:
    """Writes the set into the folder `out`, whole or not at all; the same set from before is left as it is.

    images: how many the training split has; val_images: how many the validation split has, by default a fifth of that;
    size: an image's (height, width); persons: whether the set holds persons alone, who hide each other; stuff:
    whether the ground has classes, and the set panoptic annotations.
    """
    out = Path(out)
    counts = {"train": images, "val": max(1, images // 5) if val_images is None else val_images}
    if min(counts.values()) < 1 or min(size) < 32:
        raise UserError("a synthetic set needs at least one image a split and 32 pixels a side")
    info = {"description": "synthetic shapes", "version": "1", "seed": seed, "size": list(size), "images": counts}
    info |= {name: True for name, is_so in (("persons", persons), ("stuff", stuff)) if is_so}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if _read_info(out) == info:
            return out
        raise UserError(f"{out} exists and holds something else; remove it or choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        for split in _SPLITS:
            _write_split(partial, split, counts[split], seed, size, info)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _read_info(out: Path) -> dict | None:
    """Reads what a set in this folder was made with; None if there is none."""
    try:
        return json.loads((out / "annotations/instances_val.json").read_text())["info"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_split(out: Path, split: str, count: int, seed: int, size: tuple[int, int], info: dict) -> None:
    """Writes the images and the annotation files of one split."""
    folder = out / split
    folder.mkdir(parents=True)
    records, instances, persons, panoptic = [], [], [], []
    for position in tqdm(range(count), desc=f"shapes {split}", unit="image", disable=None):
        rng = np.random.default_rng([seed, _SPLITS.index(split), position])
        # The ground has a stream of its own: the objects are the same with and without it.
        ground_rng = np.random.default_rng([seed, _SPLITS.index(split), position, 1])
        ground = Ground.draw(size, ground_rng) if "stuff" in info else None
        image, placed = render(size, rng, "persons" in info, ground)
        image_id = _FIRST_ID[split] + position
        name = f"{image_id:012d}.png"
        if not cv2.imwrite(str(folder / name), image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3]):
            raise UserError(f"cannot write {folder / name}")
        records.append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        for annotation, keypoints in _annotate(placed, size, rng):
            annotation |= {"id": len(instances) + 1, "image_id": image_id}
            instances.append(annotation)
            if annotation["category_id"] == PERSON.identity:
                persons.append(annotation | keypoints)
        if ground:
            segments = _write_segments(out / f"annotations/panoptic_{split}" / name, ground, placed)
            panoptic.append({"image_id": image_id, "file_name": name, "segments_info": segments})
    plain = [{"id": each.identity, "name": each.name, "supercategory": "shape"} for each in CATEGORIES]
    skeleton = {"keypoints": figures.KEYPOINT_NAMES, "skeleton": figures.SKELETON}
    contents = {"instances": (plain, instances), "person_keypoints": ([plain[0] | skeleton], persons)}
    if "stuff" in info:
        things = [each | {"isthing": 1} for each in plain]
        stuff = [{"id": each.identity, "name": each.name, "supercategory": "ground", "isthing": 0} for each in STUFF]
        contents["panoptic"] = ([*things, *stuff], panoptic)
    (out / "annotations").mkdir(exist_ok=True)
    for kind, (categories, annotations) in contents.items():
        whole = {"info": info, "images": records, "annotations": annotations, "categories": categories}
        (out / f"annotations/{kind}_{split}.json").write_text(json.dumps(whole, separators=(",", ":")))


def _write_segments(path: Path, ground: Ground, placed: list[_PlacedObject]) -> list[dict]:
    """Writes an image's panoptic PNG; returns its segments as COCO lists them."""
    visible = zip(placed, _find_visible(placed), strict=True)
    ids, segments = ground.segments([(each.category.identity, mask, each.crowd) for each, mask in visible])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ids(path, ids)
    return segments


def render(
    size: tuple[int, int], rng: np.random.Generator, persons: bool = False, ground: Ground | None = None
) -> tuple[np.ndarray, list[_PlacedObject]]:
    """Draws an image (H, W, 3) uint8 RGB of `size` (H, W), and returns it with its objects, from back to front."""
    placed: list[_PlacedObject] = []
    if rng.random() >= _EMPTY_SHARE:
        if not persons and rng.random() < _CROWD_SHARE:
            placed.append(_place_crowd(size, rng))
        for _ in range(rng.integers(1, (_MOST_PERSONS if persons else _MOST_OBJECTS) + 1)):
            new = _place_person(placed, size, rng) if persons else _place_shape(placed, size, rng)
            if new is not None:
                placed.append(new)
    image = _draw_background(size, rng)
    if ground:
        ground.paint(image)
    for each in placed:
        _paint(image, each, rng)
    image += rng.normal(0.0, 4.0, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), placed


def _place_shape(placed: list[_PlacedObject], size: tuple[int, int], rng: np.random.Generator) -> _PlacedObject | None:
    """Places a new object in front of the others where it does not hide too much of any; None if that fails."""
    category = CATEGORIES[rng.integers(len(CATEGORIES))]
    most_hidden = 0.0 if rng.random() < _FREE_SHARE else _MOST_HIDDEN
    visible = _find_visible(placed)
    for _ in range(_ATTEMPTS):
        figure = category.draw(min(size) * rng.uniform(0.27, 0.6), rng)
        low, high = figure.bounds()
        # One object in eight may be cut by the border.
        margin = -0.2 * (high - low) if rng.random() < 0.125 else np.ones(2)
        room = np.array(size[::-1]) - 2 * margin - (high - low)
        if (room < 0).any():
            continue
        figure = figure.moved(margin + rng.random(2) * room - low)
        full = _rasterise(figure, size)
        if _hides_little(full, placed, visible, most_hidden):
            return _PlacedObject(category, figure, full)
    return None


def _place_person(placed: list[_PlacedObject], size: tuple[int, int], rng: np.random.Generator) -> _PlacedObject | None:
    """Places a new person in front of the others, often right in front of one; a third of each remains visible."""
    category = replace(PERSON, hue=rng.uniform(0.0, 360.0))
    visible = _find_visible(placed)
    for _ in range(_ATTEMPTS):
        figure = figures.draw_person(min(size) * rng.uniform(0.35, 0.6), rng, stout=True)
        low, high = figure.bounds()
        if placed and rng.random() < _CLOSE_SHARE:
            other = placed[rng.integers(len(placed))].figure.bounds()
            shift = sum(other) / 2 + rng.uniform(-0.4, 0.4, 2) * (other[1] - other[0]) - (low + high) / 2
        else:
            shift = rng.random(2) * np.maximum(np.array(size[::-1]) - (high - low), 0) - low
        figure = figure.moved(shift)
        full = _rasterise(figure, size)
        if full.any() and _hides_little(full, placed, visible, _MOST_HIDDEN_PERSON):
            return _PlacedObject(category, figure, full)
    return None


def _hides_little(full: np.ndarray, placed: list[_PlacedObject], visible: list[np.ndarray], most_hidden: float) -> bool:
    """Tells whether a mask `full` (H, W) in front of all leaves each object hidden by a share of at most `most_hidden`.

    visible: the masks (H, W) of what is seen of the placed objects without it.
    """
    hidden = [np.count_nonzero(old.full & ~(mask & ~full)) for old, mask in zip(placed, visible, strict=True)]
    return all(count <= most_hidden * np.count_nonzero(old.full) for count, old in zip(hidden, placed, strict=True))


def _place_crowd(size: tuple[int, int], rng: np.random.Generator) -> _PlacedObject:
    """Places many small circles that are one object."""
    circles = next(each for each in CATEGORIES if each.name == "circle")
    centre = np.array(size[::-1]) * rng.uniform(0.3, 0.7, 2)
    spread = rng.normal(0.0, 0.12 * min(size), (8, 2))
    polygons = [figures.draw_circle(0.08 * min(size), rng).moved(centre + each).polygons[0] for each in spread]
    figure = figures.Figure(polygons)
    return _PlacedObject(circles, figure, _rasterise(figure, size), crowd=True)


def _find_visible(placed: list[_PlacedObject]) -> list[np.ndarray]:
    """Returns the mask (H, W) bool of each object without what the objects in front of it hide."""
    masks: list[np.ndarray] = []
    for position in reversed(range(len(placed))):
        masks.append(placed[position].full.copy())
        for in_front in placed[position + 1 :]:
            masks[-1] &= ~in_front.full
    return masks[::-1]


def _rasterise(figure: figures.Figure, size: tuple[int, int]) -> np.ndarray:
    """Draws a figure's mask (H, W) bool as pycocotools draws its polygons: image and annotation agree to the pixel."""
    polygons = [np.round(polygon, 2).ravel().tolist() for polygon in figure.polygons]
    return rle.decode(rle.merge(rle.frPyObjects(polygons, *size))).astype(bool)


def _draw_background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draws a background (H, W, 3) float64: noise of three grain sizes on a pale or dark ground."""
    image = np.full((*size, 3), rng.uniform(70.0, 180.0)) + rng.uniform(-15.0, 15.0, 3)
    for cells, strength in ((3, 25.0), (8, 15.0), (32, 8.0)):
        grain = rng.normal(0.0, strength, (cells, cells)).astype(np.float32)
        image += cv2.resize(grain, size[::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    return image


def _paint(image: np.ndarray, placed: _PlacedObject, rng: np.random.Generator) -> None:
    """Paints an object into the image (H, W, 3) in a colour near its category's, lighter on one side."""
    hue = np.float32((placed.category.hue + rng.uniform(-14.0, 14.0)) % 360.0)
    colour = np.array([[[hue, rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0)]]], np.float32)
    colour = 255.0 * cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)
    height, width = placed.full.shape
    slope = rng.uniform(-0.15, 0.15, 2)
    shade = 1.0 + slope[0] * np.linspace(-1, 1, width)[None, :] + slope[1] * np.linspace(-1, 1, height)[:, None]
    image[placed.full] = (shade[..., None] * colour)[placed.full]


def _annotate(placed: list[_PlacedObject], size: tuple[int, int], rng: np.random.Generator) -> list[tuple[dict, dict]]:
    """Returns each object's annotation in COCO's format, and the key points that a person's annotation also has."""
    annotations = []
    for each, mask in zip(placed, _find_visible(placed), strict=True):
        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotation = {
            "category_id": each.category.identity,
            "segmentation": _encode_segmentation(each, mask, encoded),
            "bbox": rle.toBbox(encoded).tolist(),
            "area": float(rle.area(encoded)),
            "iscrowd": int(each.crowd),
        }
        points = {} if each.figure.keypoints is None else _label_keypoints(each.figure.keypoints, mask, size, rng)
        annotations.append((annotation, points))
    return annotations


def _encode_segmentation(placed: _PlacedObject, mask: np.ndarray, encoded: dict) -> list | dict:
    """Encodes an object as polygons if it is seen as a whole, else as an RLE.

    mask: (H, W) bool; encoded: its packed RLE. A crowd's RLE has plain counts, as in COCO's files.
    """
    if placed.crowd:
        changes = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False))
        counts = np.diff(changes, prepend=0, append=mask.size)
        return {"size": list(mask.shape), "counts": counts.tolist()}
    low, high = placed.figure.bounds()
    inside = (low >= 0).all() and (high <= np.array(mask.shape[::-1])).all()
    if inside and np.array_equal(mask, placed.full):
        return [np.round(polygon, 2).ravel().tolist() for polygon in placed.figure.polygons]
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def _label_keypoints(points: np.ndarray, mask: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> dict:
    """Returns COCO's key points of a person with points (17, 2) x, y and a visible mask (H, W).

    A point's visibility is 2 where it is seen, 1 behind another object, and 0, with x and y 0, outside the image or
    where it is left unlabelled.
    """
    flat = []
    for x, y in points:
        unlabelled = rng.random() < _UNLABELLED_SHARE
        if unlabelled or not (0 <= x < size[1] and 0 <= y < size[0]):
            flat += [0, 0, 0]
        else:
            flat += [round(float(x), 2), round(float(y), 2), 2 if mask[int(y), int(x)] else 1]
    return {"keypoints": flat, "num_keypoints": sum(value > 0 for value in flat[2::3])}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m common.data.shapes",
        description="Writes a synthetic set of shapes and stick persons in COCO's format.",
        epilog="example: python -m common.data.shapes runs/shapes --images 400 --seed 0",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not hold anything else")
    parser.add_argument("--images", type=int, default=400, metavar="N", help="training images (default 400)")
    parser.add_argument("--val-images", type=int, metavar="N", help="validation images (default a fifth of --images)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="equal seeds give equal bytes (default 0)")
    parser.add_argument("--size", default="160x128", metavar="WxH", help="of an image (default 160x128)")
    parser.add_argument("--persons", action="store_true", help="persons alone, many of them in front of another")
    parser.add_argument("--stuff", action="store_true", help="sky and grass below the objects; panoptic annotations")
    arguments = parser.parse_args()
    width, cross, height = arguments.size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size {arguments.size}: expected WIDTHxHEIGHT, for instance 160x128")
    size = int(height), int(width)
    forms = arguments.persons, arguments.stuff
    out = write_shapes(arguments.out, arguments.images, arguments.seed, size, arguments.val_images, *forms)
    print(f"synthetic set in {out}")


if __name__ == "__main__":
    run_command(main)
