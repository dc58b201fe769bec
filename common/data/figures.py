"""The figures of the synthetic set as polygons: circle, rectangle, triangle and a stick person with 17 key points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# COCO's order; "left" is the person's own left, which stands on the right of the image as every person faces us.
KEYPOINT_NAMES = (
    "nose",
    *(f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
      for side in ("left", "right")),
)  # fmt: skip
# Pairs of key points that a bone joins, counted from 1 as COCO counts them.
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip

_HEAD_RADIUS = 0.12
_LIMB_WIDTH, _STOUT_LIMB_WIDTH = 0.12, 0.16


@dataclass
class Figure:
    """One object before it is painted: polygons whose union is its outline, in pixels, and a person's key points."""

    polygons: list[np.ndarray]  # each (K, 2) x, y
    keypoints: np.ndarray | None = None  # (17, 2) x, y

    def moved(self, shift: np.ndarray) -> "Figure":
        keypoints = None if self.keypoints is None else self.keypoints + shift
        return Figure([polygon + shift for polygon in self.polygons], keypoints)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest x, y."""
        points = np.concatenate(self.polygons)
        return points.min(axis=0), points.max(axis=0)


def circle(size: float, rng: np.random.Generator) -> Figure:
    """A circle of diameter `size`."""
    return Figure([_disc(np.zeros(2), size / 2, corners=24)])


def rectangle(size: float, rng: np.random.Generator) -> Figure:
    """A turned rectangle whose long side is about `size`."""
    half = 0.5 * size * np.array([1.0, rng.uniform(0.6, 1.0)])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return Figure([_turned(corners, rng.uniform(-0.5, 0.5))])


def triangle(size: float, rng: np.random.Generator) -> Figure:
    """A turned triangle, its corners on a circle of diameter 1.15 * `size`: its area is then not much the least."""
    angles = np.array([0.0, 2.0, 4.0]) * np.pi / 3 - np.pi / 2 + rng.uniform(-0.2, 0.2, 3)
    corners = 0.575 * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Figure([_turned(corners, rng.uniform(-0.6, 0.6))])


def person(size: float, rng: np.random.Generator, stout: bool = False) -> Figure:
    """A stick person about 1.3 * `size` high: head, trunk and eight limbs, key points at the joints.

    stout: the limbs are a third thicker.
    """
    joints = _pose(rng)
    limb_width = _STOUT_LIMB_WIDTH if stout else _LIMB_WIDTH
    polygons = [_disc(joints["head"], _HEAD_RADIUS, corners=14)]
    shoulders, hips = (np.stack([joints[f"left_{part}"], joints[f"right_{part}"]]) for part in ("shoulder", "hip"))
    wide = np.array([0.05, 0.0])
    polygons.append(np.stack([shoulders[0] + wide, shoulders[1] - wide, hips[1] - wide, hips[0] + wide]))
    for side in ("left", "right"):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            polygons.append(_limb(joints[f"{side}_{start}"], joints[f"{side}_{end}"], limb_width))
    scale, angle = 1.3 * size, rng.uniform(-0.3, 0.3)
    keypoints = np.stack([joints[name] for name in KEYPOINT_NAMES])
    return Figure([_turned(polygon, angle) * scale for polygon in polygons], _turned(keypoints, angle) * scale)


def _pose(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Joints of a person of height one, its head's top at the origin, y downwards."""
    joints = {"head": np.array([0.0, 0.12]), "nose": np.array([0.0, 0.14])}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = np.array([sign, 1.0])
        joints[f"{side}_eye"] = np.array([0.045, 0.10]) * out
        joints[f"{side}_ear"] = np.array([0.10, 0.11]) * out
        joints[f"{side}_shoulder"] = np.array([0.13, 0.28]) * out
        joints[f"{side}_hip"] = np.array([0.09, 0.58]) * out
        arm = rng.uniform(0.3, 1.9)
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + 0.19 * _direction(arm) * out
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + 0.18 * _direction(arm + rng.uniform(-0.4, 0.9)) * out
        leg = rng.uniform(0.0, 0.6)
        joints[f"{side}_knee"] = joints[f"{side}_hip"] + 0.21 * _direction(leg) * out
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] + 0.21 * _direction(leg + rng.uniform(-0.5, 0.1)) * out
    return joints


def _direction(angle: float) -> np.ndarray:
    """The unit vector at `angle` from straight down, outwards."""
    return np.array([np.sin(angle), np.cos(angle)])


def _disc(centre: np.ndarray, radius: float, corners: int) -> np.ndarray:
    angles = np.arange(corners) * 2 * np.pi / corners
    return centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _limb(start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """A bar from joint to joint, a third of its width longer at both ends so that bent joints leave no gap."""
    along = (end - start) / np.linalg.norm(end - start)
    across = 0.5 * width * np.array([-along[1], along[0]])
    start, end = start - along * width / 3, end + along * width / 3
    return np.stack([start + across, end + across, end - across, start - across])


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def flip_order(keypoint_names: Sequence[str]) -> np.ndarray:
    """For each key point the position of what it becomes in a mirror: left_ and right_ change places."""
    other = {name: name for name in keypoint_names}
    other |= {name: name.replace("left", "right") for name in keypoint_names if "left" in name}
    other |= {name: name.replace("right", "left") for name in keypoint_names if "right" in name}
    return np.array([list(keypoint_names).index(other[name]) for name in keypoint_names], np.int64)
