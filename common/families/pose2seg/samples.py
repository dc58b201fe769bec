"""Makes Pose2Seg's samples: images with persons that are aligned by their key points, for training with masks."""

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
    """Makes training samples by index; `collate` chooses and aligns the persons of a batch.

    positions: (K,), the images to train on by their positions in the data set, as a data check finds them; by default
    all images that have an object. An image without a person that has a key point and a mask gives way to the next, as
    in the original.
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
        position, image, objects, rows = self._load_persons(index)
        sample = prepare(image, self.settings) | make_prompt(annotated(objects, rows))
        return sample | {
            "image_id": self.dataset.image_ids[position],
            "rles": [objects.rles[row] for row in rows],
            "jitter": rng.random((len(rows), 4)),
            "lot": rng.random(len(rows)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        """Joins samples to a batch: `image`, `image_id`, the persons' arrays as in `join`, and what they train with.

        That is `masks` (P, s, s) uint8 of 0 and 1, and `normaliser.persons`, which is P. At most `augmentation.persons`
        persons of a batch are taken, by their lots; of a rank's part of a batch, as large a part of that number.
        """
        batch_size = max(self.settings.schedule.batch_size, len(samples))
        most = max(1, self.settings.augmentation.persons * len(samples) // batch_size)
        rows = np.sort(np.argsort(_concatenate(samples, "lot"), kind="stable")[:most])
        jitter = self._make_jitter(_concatenate(samples, "jitter")[rows])
        persons, image = _arrange_persons(samples, self.settings, rows, jitter)
        rles = [encoded for sample in samples for encoded in sample["rles"]]
        masks = [rle.decode(rles[row]) for row in rows]
        return {
            "image": np.stack([sample["image"] for sample in samples]),
            "image_id": np.stack([sample["image_id"] for sample in samples]),
            "person_image": image,
            "grid": persons.grid,
            "skeletons": persons.skeletons,
            "masks": make_mask_targets(masks, persons.mask_matrices, self.settings.network.align_size),
            "normaliser.persons": np.array(len(rows), np.float32),
        }

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"

    def _load_persons(self, index: int) -> tuple[int, np.ndarray, Objects, np.ndarray]:
        """Loads the image of an index, or the next with persons to train on.

        Returns its position, the image (H, W, 3), its annotations, and the rows (K,) of those that are such persons.
        """
        for step in range(len(self)):
            position = int(self.positions[(index + step) % len(self)])
            image = self.dataset.image(position)
            objects = self.dataset.objects(position, image.shape[:2])
            rows = person_rows(objects, image.shape[:2], self.dataset.keypoint_label)
            # Without key points nothing tells the network which person is meant; COCOPersons has none without.
            labelled = (objects.keypoints[rows, :, 2] > 0).any(axis=1)
            rows = rows[labelled & np.array([objects.rles[row] is not None for row in rows], bool)]
            if len(rows):
                return position, image, objects, rows
        raise UserError(f"{self.dataset.annotations}: no person with a key point and a mask to train on")

    def _make_jitter(self, drawn: np.ndarray) -> np.ndarray:
        """Turns numbers (P, 4) from 0 to 1 into maps (P, 2, 3) that turn, scale and shift the aligned squares."""
        augmentation = self.settings.augmentation
        angle, scale, *shifts = drawn.T
        shifts = augmentation.shift * (2 * np.stack(shifts, axis=1) - 1)
        low, high = augmentation.scale
        angles, scales = augmentation.rotation * (2 * angle - 1), low + (high - low) * scale
        return turn_squares(angles, scales, shifts, self.settings.network.align_size)


class Inference:
    """Makes samples for prediction by an image's position in a data set, with its annotated persons or `keypoints`'."""

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
    """Makes the sample of an image (H, W, 3) uint8 RGB, to which the image's prompt is added: see `make_prompt`.

    It holds `image` (3, S, S) float32, in which the image is centred, with its aspect kept and black around it, and
    `original_size` (2,), the height and width.
    """
    size, side = image.shape[:2], settings.preprocessing.size
    warped = warp(image, centred_resize(size, (side, side)), side)
    return {
        "image": transforms.normalise(warped, settings.preprocessing),
        "original_size": np.array(size, np.int32),
    }


def make_prompt(keypoints: np.ndarray, scores: np.ndarray | None = None) -> Prompt:
    """Makes the prompt of an image: `keypoints` (K, 17, 3) float32 x, y, visibility in its pixels, and `person_score`.

    The latter holds the scores (K,), which are all 1 if none are given.
    """
    return {
        "keypoints": np.asarray(keypoints, np.float32).reshape(-1, len(KEYPOINT_NAMES), 3),
        "person_score": np.ones(len(keypoints), np.float32) if scores is None else scores,
    }


def join(samples: list[dict[str, np.ndarray]], settings: Pose2SegSettings) -> dict[str, np.ndarray]:
    """Joins samples for prediction to a batch of N images and P persons, who stand image by image.

    `image`, `original_size` and, if the images are a data set's, `image_id` have N rows. `person_image` (P,) int32, the
    index of each person's image, `grid` (P, s, s, 2), `skeletons` (P, 55, s, s), `mask_matrices` (P, 2, 3), which are
    as in `Persons`, and `person_score` (P,) have P rows.
    """
    persons, image = _arrange_persons(samples, settings)
    by_image = [name for name in ("image", "original_size", "image_id") if name in samples[0]]
    return {name: np.stack([sample[name] for sample in samples]) for name in by_image} | {
        "person_image": image,
        "person_score": _concatenate(samples, "person_score"),
        "grid": persons.grid,
        "skeletons": persons.skeletons,
        "mask_matrices": persons.mask_matrices,
    }


def person_rows(objects: Objects, size: tuple[int, int], person: int) -> np.ndarray:
    """Returns the rows (K,) of the annotations that are persons to segment, as the original chooses them.

    They are no crowds and not ignored, have the label `person`, and their boxes, whose last pixel is x + width - 1,
    contain more than one row and column of the image of `size` (H, W).
    """
    low, high = pixel_corners(objects.boxes, size)
    sound = (high > low).all(axis=1) & ~objects.ignored & ~objects.crowd & (objects.labels == person)
    return np.flatnonzero(sound)


def pixel_corners(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and last pixels (K, 2) x, y of boxes (K, 4) xyxy, inside the image of `size` (H, W)."""
    last = np.array(size[::-1], np.float32) - 1
    return np.clip(boxes[:, :2], 0, last), np.clip(boxes[:, 2:] - 1, 0, last)


def annotated(objects: Objects, rows: np.ndarray) -> np.ndarray:
    """Returns the key points (K, 17, 3) of the annotations `rows` (K,), cut to whole pixels as in the original."""
    return np.trunc(objects.keypoints[rows])


def check_persons(dataset: CocoDataset) -> None:
    """Refuses a data set whose persons do not have COCO's 17 key points."""
    if tuple(dataset.keypoint_names) != KEYPOINT_NAMES:
        has = f"{len(dataset.keypoint_names)} others" if dataset.keypoint_names else "none"
        raise UserError(
            f"{dataset.annotations}: Pose2Seg needs persons with COCO's 17 key points, its categories have {has}"
        )
    if dataset.keypoint_label != 0:
        raise UserError(f"{dataset.annotations}: the category with key points must be the one of the smallest id")


def _arrange_persons(
    samples: list[dict],
    settings: Pose2SegSettings,
    rows: np.ndarray | slice = slice(None),
    jitter: np.ndarray | None = None,
) -> tuple[Persons, np.ndarray]:
    """Aligns persons of the samples: those at `rows` (P,) when all samples' persons are counted through.

    jitter: as in `arrange`. Returns the persons, and the index of each one's image in the batch, (P,) int32.
    """
    side = settings.preprocessing.size
    resizes = [centred_resize(tuple(sample["original_size"]), (side, side)) for sample in samples]
    image = np.repeat(np.arange(len(samples)), [len(sample["keypoints"]) for sample in samples])[rows]
    templates = _load_templates(settings.alignment.templates)
    persons = arrange(_concatenate(samples, "keypoints")[rows], np.stack(resizes)[image], settings, templates, jitter)
    return persons, image.astype(np.int32)


def _concatenate(samples: list[dict], name: str) -> np.ndarray:
    return np.concatenate([sample[name] for sample in samples])
