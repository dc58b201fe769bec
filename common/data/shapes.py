"""A small synthetic data set in COCO's format: coloured shapes and stick persons that overlap, on a textured ground.

    python -m common.data.shapes OUT --images 400 --seed 0

writes OUT/annotations/{instances,person_keypoints}_{train,val}.json and the images in OUT/train and OUT/val. The
same arguments give the same bytes. With --persons there are persons alone, of any colour, many of them right in front
of another.
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

from common.data import figures
from common.errors import UserError, run_command


@dataclass(frozen=True)
class Category:
    identity: int  # with gaps, as COCO's are
    name: str
    hue: float  # degrees
    draw: Callable[[float, np.random.Generator], figures.Figure]  # of a size in pixels


CATEGORIES = (
    Category(1, "person", 45.0, figures.person),
    Category(3, "circle", 350.0, figures.circle),
    Category(4, "rectangle", 130.0, figures.rectangle),
    Category(8, "triangle", 220.0, figures.triangle),
)
PERSON = CATEGORIES[0]

_SPLITS = ("train", "val")
_FIRST_ID = {"train": 1, "val": 1_000_001}
_MOST_OBJECTS, _MOST_PERSONS = 4, 3  # in an image, of a set of persons alone
_EMPTY_SHARE = 0.02  # of the images hold no object
_CROWD_SHARE = 0.04  # of the images hold a crowd of small circles
_APART_SHARE = 0.6  # of the objects may hide nothing
_MOST_HIDDEN = 0.4  # of any object
_UNLABELLED_SHARE = 0.05  # of the key points
_CLOSE_SHARE = 0.6  # of the persons of a set of persons stand in front of another
_MOST_HIDDEN_PERSON = 0.65  # of such a person


@dataclass
class _Placed:
    category: Category
    figure: figures.Figure
    full: np.ndarray  # (H, W) bool, the object as if nothing stood in front
    crowd: bool = False


def write_shapes(
    out: str | os.PathLike,
    images: int,
    seed: int,
    size: tuple[int, int] = (128, 160),
    val_images: int | None = None,
    persons: bool = False,
) -> Path:
    """Writes the set under `out`, at once or not at all; leaves an equal set that lies there already as it is.

    images: of the training split; val_images: a fifth of them unless given; size: (height, width) of an image;
    persons: persons alone, who hide each other.
    """
    out = Path(out)
    counts = {"train": images, "val": max(1, images // 5) if val_images is None else val_images}
    if min(counts.values()) < 1 or min(size) < 32:
        raise UserError("a synthetic set needs at least one image a split and 32 pixels a side")
    info = {"description": "synthetic shapes", "version": "1", "seed": seed, "size": list(size), "images": counts}
    info |= {"persons": True} if persons else {}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if _info(out) == info:
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


def _info(out: Path) -> dict | None:
    try:
        return json.loads((out / "annotations/instances_val.json").read_text())["info"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_split(out: Path, split: str, count: int, seed: int, size: tuple[int, int], info: dict) -> None:
    folder = out / split
    folder.mkdir(parents=True)
    records, instances, persons = [], [], []
    for position in tqdm(range(count), desc=f"shapes {split}", unit="image", disable=None):
        rng = np.random.default_rng([seed, _SPLITS.index(split), position])
        image, placed = render(size, rng, "persons" in info)
        image_id = _FIRST_ID[split] + position
        name = f"{image_id:012d}.png"
        if not cv2.imwrite(str(folder / name), image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3]):
            raise UserError(f"cannot write {folder / name}")
        records.append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        for annotation, keypoints in _annotations(placed, size, rng):
            annotation |= {"id": len(instances) + 1, "image_id": image_id}
            instances.append(annotation)
            if annotation["category_id"] == PERSON.identity:
                persons.append(annotation | keypoints)
    plain = [{"id": each.identity, "name": each.name, "supercategory": "shape"} for each in CATEGORIES]
    skeleton = {"keypoints": figures.KEYPOINT_NAMES, "skeleton": figures.SKELETON}
    contents = {"instances": (plain, instances), "person_keypoints": ([plain[0] | skeleton], persons)}
    (out / "annotations").mkdir(exist_ok=True)
    for kind, (categories, annotations) in contents.items():
        whole = {"info": info, "images": records, "annotations": annotations, "categories": categories}
        (out / f"annotations/{kind}_{split}.json").write_text(json.dumps(whole, separators=(",", ":")))


def render(size: tuple[int, int], rng: np.random.Generator, persons: bool = False) -> tuple[np.ndarray, list[_Placed]]:
    """An image (H, W, 3) uint8 RGB and what stands in it, from back to front."""
    placed: list[_Placed] = []
    if rng.random() >= _EMPTY_SHARE:
        if not persons and rng.random() < _CROWD_SHARE:
            placed.append(_crowd(size, rng))
        for _ in range(rng.integers(1, (_MOST_PERSONS if persons else _MOST_OBJECTS) + 1)):
            found = _place_person(placed, size, rng) if persons else _place(placed, size, rng)
            if found is not None:
                placed.append(found)
    image = _ground(size, rng)
    for each in placed:
        _paint(image, each, rng)
    image += rng.normal(0.0, 4.0, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), placed


def _place(placed: list[_Placed], size: tuple[int, int], rng: np.random.Generator) -> _Placed | None:
    """A new object in front of the others at a place where it hides not too much of any; None where there is none."""
    category = CATEGORIES[rng.integers(len(CATEGORIES))]
    most_hidden = 0.0 if rng.random() < _APART_SHARE else _MOST_HIDDEN
    visible = _visible(placed)
    for _ in range(20):
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
            return _Placed(category, figure, full)
    return None


def _place_person(placed: list[_Placed], size: tuple[int, int], rng: np.random.Generator) -> _Placed | None:
    """A new person in front of the others, most often of one of them; a third of each stays in sight."""
    category = replace(PERSON, hue=rng.uniform(0.0, 360.0))
    visible = _visible(placed)
    for _ in range(20):
        figure = figures.person(min(size) * rng.uniform(0.35, 0.6), rng, stout=True)
        low, high = figure.bounds()
        if placed and rng.random() < _CLOSE_SHARE:
            other = placed[rng.integers(len(placed))].figure.bounds()
            place = sum(other) / 2 + rng.uniform(-0.4, 0.4, 2) * (other[1] - other[0]) - (low + high) / 2
        else:
            place = rng.random(2) * np.maximum(np.array(size[::-1]) - (high - low), 0) - low
        figure = figure.moved(place)
        full = _rasterise(figure, size)
        if full.any() and _hides_little(full, placed, visible, _MOST_HIDDEN_PERSON):
            return _Placed(category, figure, full)
    return None


def _hides_little(full: np.ndarray, placed: list[_Placed], visible: list[np.ndarray], most_hidden: float) -> bool:
    """Whether of no placed object more than a share of `most_hidden` is hidden when `full` comes in front."""
    hidden = [np.count_nonzero(old.full & ~(mask & ~full)) for old, mask in zip(placed, visible, strict=True)]
    return all(count <= most_hidden * np.count_nonzero(old.full) for count, old in zip(hidden, placed, strict=True))


def _crowd(size: tuple[int, int], rng: np.random.Generator) -> _Placed:
    """Many small circles as one annotation."""
    circles = next(each for each in CATEGORIES if each.name == "circle")
    centre = np.array(size[::-1]) * rng.uniform(0.3, 0.7, 2)
    spread = rng.normal(0.0, 0.12 * min(size), (8, 2))
    polygons = [figures.circle(0.08 * min(size), rng).moved(centre + each).polygons[0] for each in spread]
    figure = figures.Figure(polygons)
    return _Placed(circles, figure, _rasterise(figure, size), crowd=True)


def _visible(placed: list[_Placed]) -> list[np.ndarray]:
    """What is seen of each object behind those after it."""
    masks: list[np.ndarray] = []
    for position in reversed(range(len(placed))):
        masks.append(placed[position].full.copy())
        for in_front in placed[position + 1 :]:
            masks[-1] &= ~in_front.full
    return masks[::-1]


def _rasterise(figure: figures.Figure, size: tuple[int, int]) -> np.ndarray:
    """The figure's pixels as pycocotools sees its polygons, so that image and annotation agree to the pixel."""
    polygons = [np.round(polygon, 2).ravel().tolist() for polygon in figure.polygons]
    return rle.decode(rle.merge(rle.frPyObjects(polygons, *size))).astype(bool)


def _ground(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Pale or dark noise in three grain sizes, (H, W, 3) float64."""
    image = np.full((*size, 3), rng.uniform(70.0, 180.0)) + rng.uniform(-15.0, 15.0, 3)
    for cells, strength in ((3, 25.0), (8, 15.0), (32, 8.0)):
        grain = rng.normal(0.0, strength, (cells, cells)).astype(np.float32)
        image += cv2.resize(grain, size[::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    return image


def _paint(image: np.ndarray, placed: _Placed, rng: np.random.Generator) -> None:
    """The object in a colour near its category's, lighter on one side."""
    hue = np.float32((placed.category.hue + rng.uniform(-14.0, 14.0)) % 360.0)
    colour = np.array([[[hue, rng.uniform(0.65, 1.0), rng.uniform(0.65, 1.0)]]], np.float32)
    colour = 255.0 * cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)
    height, width = placed.full.shape
    slope = rng.uniform(-0.15, 0.15, 2)
    shade = 1.0 + slope[0] * np.linspace(-1, 1, width)[None, :] + slope[1] * np.linspace(-1, 1, height)[:, None]
    image[placed.full] = (shade[..., None] * colour)[placed.full]


def _annotations(placed: list[_Placed], size: tuple[int, int], rng: np.random.Generator) -> list[tuple[dict, dict]]:
    """COCO's annotation of each object, and what a person's has besides."""
    found = []
    for each, mask in zip(placed, _visible(placed), strict=True):
        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotation = {
            "category_id": each.category.identity,
            "segmentation": _segmentation(each, mask, encoded),
            "bbox": rle.toBbox(encoded).tolist(),
            "area": float(rle.area(encoded)),
            "iscrowd": int(each.crowd),
        }
        points = {} if each.figure.keypoints is None else _keypoints(each.figure.keypoints, mask, size, rng)
        found.append((annotation, points))
    return found


def _segmentation(placed: _Placed, mask: np.ndarray, encoded: dict) -> list | dict:
    """Polygons where the whole figure is seen, else RLE: plain counts for a crowd, as in COCO's files, else packed."""
    if placed.crowd:
        changes = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False))
        counts = np.diff(changes, prepend=0, append=mask.size)
        return {"size": list(mask.shape), "counts": counts.tolist()}
    low, high = placed.figure.bounds()
    inside = (low >= 0).all() and (high <= np.array(mask.shape[::-1])).all()
    if inside and np.array_equal(mask, placed.full):
        return [np.round(polygon, 2).ravel().tolist() for polygon in placed.figure.polygons]
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def _keypoints(points: np.ndarray, mask: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> dict:
    """17 x, y, visibility: 2 seen, 1 behind another object, 0 (at 0, 0) outside the image or left unlabelled."""
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
    arguments = parser.parse_args()
    width, cross, height = arguments.size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size {arguments.size}: expected WIDTHxHEIGHT, for instance 160x128")
    size = int(height), int(width)
    out = write_shapes(arguments.out, arguments.images, arguments.seed, size, arguments.val_images, arguments.persons)
    print(f"synthetic set in {out}")


if __name__ == "__main__":
    run_command(main)
