"""Pose2Seg's samples: an image and its persons, aligned by their key points, with masks to train on or without."""

from functools import lru_cache

import numpy as np
from pycocotools import mask as rle

from common.data import transforms
from common.data.coco import CocoDataset, Objects
from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.families.pose2seg.affine import centred_resize, turn_squares
from common.families.pose2seg.keypoint_results import KeypointResults
from common.families.pose2seg.masks import make_mask_targets, warp
from common.families.pose2seg.persons import Persons, arrange
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.templates import load_templates
from common.families.prompts import Prompt

_load_templates = lru_cache(maxsize=4)(load_templates)


class Training:
    """Makes the training sample of an index; the persons of a batch are chosen and aligned in `collate`.

    Indices count the images that have an object to train on; `positions` (K,), from a data check for instance, leaves
    out more. An image without a person that has a key point and a mask gives way to the next, as in the original.
    """

    def __init__(self, dataset: CocoDataset, settings: Pose2SegSettings, positions: np.ndarray | None = None) -> None:
        check_persons(dataset)
        self.dataset, self.settings = dataset, settings
        if positions is None:
            positions = np.setdiff1d(dataset.positions_with_objects(), dataset.missing_images())
        self.positions = positions
        if not len(positions):
            raise UserError(f"{dataset.annotations}: no image with a person to train on")

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        position, image, objects, rows = self._with_persons(index)
        sample = prepare(image, self.settings) | make_prompt(annotated(objects, rows))
        return sample | {
            "image_id": self.dataset.image_ids[position],
            "rles": [objects.rles[row] for row in rows],
            "jitter": rng.random((len(rows), 4)),
            "lot": rng.random(len(rows)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        """`image`, `image_id`, the persons' arrays as in `join` and `masks` (P, s, s) uint8 of 0 and 1.

        A rank's share of a batch takes its share of the batch's persons. `normaliser.persons` is P.
        """
        schedule, chosen = self.settings.schedule, self.settings.augmentation
        most = max(1, chosen.persons * len(samples) // max(schedule.batch_size, len(samples)))
        taken = np.sort(np.argsort(_all(samples, "lot"), kind="stable")[:most])
        persons, image = _arranged(samples, self.settings, taken, self._jitter(_all(samples, "jitter")[taken]))
        rles = [encoded for sample in samples for encoded in sample["rles"]]
        masks = [rle.decode(rles[row]) for row in taken]
        return {
            "image": np.stack([sample["image"] for sample in samples]),
            "image_id": np.stack([sample["image_id"] for sample in samples]),
            "person_image": image,
            "grid": persons.grid,
            "skeletons": persons.skeletons,
            "masks": make_mask_targets(masks, persons.mask_matrices, self.settings.network.align_size),
            "normaliser.persons": np.array(len(taken), np.float32),
        }

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"

    def _with_persons(self, index: int) -> tuple[int, np.ndarray, Objects, np.ndarray]:
        for step in range(len(self)):
            position = int(self.positions[(index + step) % len(self)])
            image = self.dataset.image(position)
            objects = self.dataset.objects(position, image.shape[:2])
            rows = person_rows(objects, image.shape[:2], self.dataset.keypoint_label)
            # Of a person without any key point nothing says which it is; COCOPersons has none of them.
            labelled = (objects.keypoints[rows, :, 2] > 0).any(axis=1)
            rows = rows[labelled & np.array([objects.rles[row] is not None for row in rows], bool)]
            if len(rows):
                return position, image, objects, rows
        raise UserError(f"{self.dataset.annotations}: no person with a key point and a mask to train on")

    def _jitter(self, drawn: np.ndarray) -> np.ndarray:
        """(P, 4) numbers from 0 to 1 -> what is done to the aligned squares, (P, 2, 3)."""
        chosen = self.settings.augmentation
        angle, scale, *shifts = drawn.T
        shifts = chosen.shift * (2 * np.stack(shifts, axis=1) - 1)
        low, high = chosen.scale
        angles, scales = chosen.rotation * (2 * angle - 1), low + (high - low) * scale
        return turn_squares(angles, scales, shifts, self.settings.network.align_size)


class Inference:
    """Makes the sample of a data set's position for prediction, with its annotated persons or those of `keypoints`."""

    def __init__(
        self, dataset: CocoDataset, settings: Pose2SegSettings, keypoints: KeypointResults | None = None
    ) -> None:
        if keypoints is None:
            check_persons(dataset)
        else:
            keypoints.check(dataset.image_ids, dataset.annotations)
        self.dataset, self.settings, self.keypoints = dataset, settings, keypoints

    def __len__(self) -> int:
        return len(self.dataset)

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        image, image_id = self.dataset.image(index), self.dataset.image_ids[index]
        if self.keypoints is None:
            objects = self.dataset.objects(index, masks=False)
            rows = person_rows(objects, image.shape[:2], self.dataset.keypoint_label)
            prompt = make_prompt(annotated(objects, rows))
        else:
            prompt = make_prompt(*self.keypoints.of_image(int(image_id)))
        return prepare(image, self.settings) | prompt | {"image_id": image_id}

    def collate(self, samples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return join(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[index]}"


def prepare(image: np.ndarray, settings: Pose2SegSettings) -> dict[str, np.ndarray]:
    """(H, W, 3) uint8 RGB -> `image` (3, S, S) float32, centred, its aspect kept, black around; `original_size` (H, W).

    A sample is this and the image's prompt: see `make_prompt`.
    """
    size, side = image.shape[:2], settings.preprocessing.size
    warped = warp(image, centred_resize(size, (side, side)), side)
    return {
        "image": transforms.normalise(warped, settings.preprocessing),
        "original_size": np.array(size, np.int32),
    }


def make_prompt(keypoints: np.ndarray, scores: np.ndarray | None = None) -> Prompt:
    """The persons of an image: `keypoints` (K, 17, 3) float32 x, y, visibility in its pixels, `person_score` (K,).

    Without scores (K,) all are 1.
    """
    return {
        "keypoints": np.asarray(keypoints, np.float32).reshape(-1, len(KEYPOINT_NAMES), 3),
        "person_score": np.ones(len(keypoints), np.float32) if scores is None else scores,
    }


def join(samples: list[dict[str, np.ndarray]], settings: Pose2SegSettings) -> dict[str, np.ndarray]:
    """Samples for prediction -> a batch, its P persons image by image in the order of their key points.

    `image`, `original_size` and, of a data set, `image_id` have a row an image; `person_image` (P,) int32, `grid`,
    `skeletons`, `mask_matrices` (P, 2, 3) float32 and `person_score` (P,) a row a person.
    """
    persons, image = _arranged(samples, settings)
    by_image = [name for name in ("image", "original_size", "image_id") if name in samples[0]]
    return {name: np.stack([sample[name] for sample in samples]) for name in by_image} | {
        "person_image": image,
        "person_score": _all(samples, "person_score"),
        "grid": persons.grid,
        "skeletons": persons.skeletons,
        "mask_matrices": persons.mask_matrices,
    }


def person_rows(objects: Objects, size: tuple[int, int], person: int) -> np.ndarray:
    """The annotations that are persons to segment, as the original chooses them, and no crowds: (K,) rows.

    A box whose last pixel is x + width - 1 must hold more than one row and column of the image of `size` (H, W).
    """
    low, high = pixel_corners(objects.boxes, size)
    sound = (high > low).all(axis=1) & ~objects.ignored & ~objects.crowd & (objects.labels == person)
    return np.flatnonzero(sound)


def pixel_corners(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) xyxy -> their first and last pixels (K, 2) x, y, inside the image of `size` (H, W)."""
    last = np.array(size[::-1], np.float32) - 1
    return np.clip(boxes[:, :2], 0, last), np.clip(boxes[:, 2:] - 1, 0, last)


def annotated(objects: Objects, rows: np.ndarray) -> np.ndarray:
    """Key points (K, 17, 3) in whole pixels: the original cuts off what OCHuman's have behind the point."""
    return np.trunc(objects.keypoints[rows])


def check_persons(dataset: CocoDataset) -> None:
    """Refuses a data set without COCO's 17 key points."""
    if tuple(dataset.keypoint_names) != KEYPOINT_NAMES:
        has = f"{len(dataset.keypoint_names)} others" if dataset.keypoint_names else "none"
        raise UserError(
            f"{dataset.annotations}: Pose2Seg needs persons with COCO's 17 key points, its categories have {has}"
        )
    if dataset.keypoint_label != 0:
        raise UserError(f"{dataset.annotations}: the category with key points must be the one of the smallest id")


def _arranged(
    samples: list[dict],
    settings: Pose2SegSettings,
    taken: np.ndarray | slice = slice(None),
    jitter: np.ndarray | None = None,
) -> tuple[Persons, np.ndarray]:
    """The persons `taken` among all of the samples, aligned, and the image in the batch that each is in."""
    side = settings.preprocessing.size
    resizes = [centred_resize(tuple(sample["original_size"]), (side, side)) for sample in samples]
    image = np.repeat(np.arange(len(samples)), [len(sample["keypoints"]) for sample in samples])[taken]
    templates = _load_templates(settings.alignment.templates)
    persons = arrange(_all(samples, "keypoints")[taken], np.stack(resizes)[image], settings, templates, jitter)
    return persons, image.astype(np.int32)


def _all(samples: list[dict], name: str) -> np.ndarray:
    return np.concatenate([sample[name] for sample in samples])
