"""Makes pose templates from a data set with key points: the means of clusters of its persons.

    python -m common.families.pose2seg.make_templates DATA OUT

DATA is a data set in COCO's format, whose split train is read, or an annotation file. OUT is a JSON file for a Pose2Seg
model's setting `alignment.templates`, and for the original as its templates.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from common.data.coco import CocoDataset, resolve
from common.data.figures import KEYPOINT_NAMES, SKELETON, flip_order
from common.errors import UserError, run_command
from common.families.pose2seg.samples import annotated, check_persons, person_rows, pixel_corners
from common.families.pose2seg.settings import Pose2SegSettings
from common.files import atomic_path
from common.training.randomness import stream

_MOST_ROUNDS = 100
_UNKNOWN_SIDE = 2**30  # the assumed side of an image whose size the file does not tell


def collect_persons(dataset: CocoDataset, fewest_points: int) -> np.ndarray:
    """Collects all persons with at least `fewest_points` labelled key points, then their mirror images: (P, 17, 3).

    Each person's box fills the unit square along its longer side; points that are not labelled are zeros.
    """
    persons_by_image = []
    for position in range(len(dataset)):
        objects = dataset.objects(position, masks=False)
        size = tuple(side or _UNKNOWN_SIDE for side in dataset.image_size(position))
        rows = person_rows(objects, size, dataset.keypoint_label)
        persons_by_image.append(fit_to_unit_square(annotated(objects, rows), *pixel_corners(objects.boxes[rows], size)))
    persons = np.concatenate(persons_by_image)
    persons = persons[(persons[..., 2] > 0).sum(axis=1) >= fewest_points]
    mirrored = persons[:, flip_order(KEYPOINT_NAMES)]
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, 1 - mirrored[..., 0], 0)
    return np.concatenate([persons, mirrored])


def fit_to_unit_square(keypoints: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Moves key points (K, 17, 3) so that their boxes, `low` to `high` (K, 2) each, lie in the unit square's middle.

    A box's longer side becomes 1.
    """
    scale = 1 / (high - low).max(axis=1, initial=0)[:, None, None]
    points = (keypoints[..., :2] - (low + high)[:, None] / 2) * scale + 0.5
    labelled = keypoints[..., 2:] > 0
    return np.concatenate([points * labelled, keypoints[..., 2:] * labelled], axis=-1)


def cluster(persons: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Clusters persons (P, 17, 3) by k-means: returns the clusters' means (count, 17, 3) and sizes (count,).

    The largest cluster comes first. The means start as persons drawn at random. Visibility is a coordinate like x and
    y, so that persons of whom the same is seen come together; a point that is not labelled is moved to the square's
    middle.
    """
    points = np.where(persons[..., 2:] > 0, persons, np.array([0.5, 0.5, 0])).reshape(len(persons), -1)
    means = points[rng.choice(len(points), count, replace=False)]
    nearest = None
    for _ in range(_MOST_ROUNDS):
        # |p - m|^2 without |p|^2, which is the same for all means.
        before, nearest = nearest, ((means**2).sum(axis=1) - 2 * points @ means.T).argmin(axis=1)
        if before is not None and np.array_equal(nearest, before):
            break
        for index in range(count):
            if (nearest == index).any():
                means[index] = points[nearest == index].mean(axis=0)
    sizes = np.bincount(nearest, minlength=count)
    order = np.argsort(-sizes, kind="stable")
    return means[order].reshape(count, *persons.shape[1:]), sizes[order]


def describe_templates(means: np.ndarray, threshold: float, fewest_points: int) -> dict:
    """Returns the content of a templates file, under the original's keys, for clusters' means (C, 17, 3)."""
    pairs = {name: name.replace("left", "right") for name in KEYPOINT_NAMES if "left" in name}
    return {
        "names": list(KEYPOINT_NAMES),
        "flip_map": pairs,
        "connections": [list(pair) for pair in SKELETON],
        "vis_threshold": threshold,
        "minpoints": fewest_points,
        "templates": means.reshape(len(means), -1).tolist(),
    }


def main() -> None:
    arguments = _parser().parse_args()
    if min(arguments.clusters, arguments.points) < 1:
        raise UserError("--clusters and --points must be at least 1")
    data = arguments.data
    (kind,) = Pose2SegSettings.data_kinds.items()
    # The folder of an annotation file stands in for the images', since no image is read.
    dataset = CocoDataset(data, data.parent) if data.is_file() else resolve(data, "train", *kind)
    check_persons(dataset)
    persons = collect_persons(dataset, arguments.points)
    if len(persons) < arguments.clusters:
        raise UserError(
            f"{dataset.annotations}: {len(persons) // 2} persons with {arguments.points} labelled key points, "
            f"too few for {arguments.clusters} clusters"
        )
    means, sizes = cluster(persons, arguments.clusters, stream(arguments.seed, 0, "templates"))
    with atomic_path(arguments.out) as temporary:
        temporary.write_text(json.dumps(describe_templates(means, arguments.threshold, arguments.points)))
    print(f"{len(persons) // 2} persons of {dataset.annotations}, and their mirror images")
    for mean, size in zip(means, sizes.tolist(), strict=True):
        points = (mean[:, 2] >= arguments.threshold).sum()
        print(f"template of {points} key points, from {size} of {len(persons)}")
    print(f"written: {arguments.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m common.families.pose2seg.make_templates",
        description="Makes pose templates from a key-point set, by k-means of its persons' normalised key points.",
        epilog="example: python -m common.families.pose2seg.make_templates datasets/coco templates.json; "
        "then train with alignment.templates=templates.json",
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="data set in COCO's format (split train), or one annotation file")
    add("out", type=Path, metavar="OUT", help="JSON file to write")
    add("--clusters", type=int, default=3, metavar="N", help="templates (default 3; each serves left and right)")
    add("--points", type=int, default=8, metavar="N", help="key points that a person needs to count (default 8)")
    add("--threshold", type=float, default=0.4, metavar="V", help="mean visibility that a point needs (default 0.4)")
    add("--seed", type=int, default=0, metavar="S", help="of the persons that clustering starts from (default 0)")
    return parser


if __name__ == "__main__":
    run_command(main)
