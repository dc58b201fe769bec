"""Draws the synthetic set's figures as polygons: circles, rectangles, triangles and persons with 17 key points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# In COCO's order. "left" is a person's own left, which is on the image's right, since all persons face the viewer.
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
    """An object before it is painted: polygons, in pixels, whose union is its outline, and a person's key points."""

    polygons: list[np.ndarray]  # each (K, 2) x, y
    keypoints: np.ndarray | None = None  # (17, 2) x, y

    def moved(self, shift: np.ndarray) -> "Figure":
        """Returns the figure moved by `shift` (2,) x, y."""
        keypoints = None if self.keypoints is None else self.keypoints + shift
        return Figure([polygon + shift for polygon in self.polygons], keypoints)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the smallest and the largest x, y, (2,) each."""
        points = np.concatenate(self.polygons)
        return points.min(axis=0), points.max(axis=0)


def draw_circle(size: float, rng: np.random.Generator) -> Figure:
    """Draws a circle of diameter `size`; nothing about it is random."""
    return Figure([_make_disc(np.zeros(2), size / 2, corners=24)])


def draw_rectangle(size: float, rng: np.random.Generator) -> Figure:
    """Draws a turned rectangle whose long side is `size`."""
    half = 0.5 * size * np.array([1.0, rng.uniform(0.6, 1.0)])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return Figure([_turn(corners, rng.uniform(-0.5, 0.5))])


def draw_triangle(size: float, rng: np.random.Generator) -> Figure:
    """Draws a turned triangle with its corners on a circle of diameter 1.15 * `size`."""
    # In a circle of diameter `size` a triangle would have a much smaller area than the other figures.
    angles = np.array([0.0, 2.0, 4.0]) * np.pi / 3 - np.pi / 2 + rng.uniform(-0.2, 0.2, 3)
    corners = 0.575 * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Figure([_turn(corners, rng.uniform(-0.6, 0.6))])


def draw_person(size: float, rng: np.random.Generator, stout: bool = False) -> Figure:
    """Draws a stick person about 1.3 * `size` high: head, trunk and eight limbs, with key points at the joints.

    stout: whether the limbs are a third thicker.
    """
    joints = _draw_pose(rng)
    limb_width = _STOUT_LIMB_WIDTH if stout else _LIMB_WIDTH
    polygons = [_make_disc(joints["head"], _HEAD_RADIUS, corners=14)]
    shoulders, hips = (np.stack([joints[f"left_{part}"], joints[f"right_{part}"]]) for part in ("shoulder", "hip"))
    wide = np.array([0.05, 0.0])
    polygons.append(np.stack([shoulders[0] + wide, shoulders[1] - wide, hips[1] - wide, hips[0] + wide]))
    for side in ("left", "right"):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            polygons.append(_make_limb(joints[f"{side}_{start}"], joints[f"{side}_{end}"], limb_width))
    scale, angle = 1.3 * size, rng.uniform(-0.3, 0.3)
    keypoints = np.stack([joints[name] for name in KEYPOINT_NAMES])
    return Figure([_turn(polygon, angle) * scale for polygon in polygons], _turn(keypoints, angle) * scale)


def _draw_pose(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws the joints (2,) x, y of a person of height 1 whose head's top is the origin; y points down."""
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
    """Returns the unit vector (2,) that points down, turned outwards by `angle`."""
    return np.array([np.sin(angle), np.cos(angle)])


def _make_disc(centre: np.ndarray, radius: float, corners: int) -> np.ndarray:
    """Returns a regular polygon (corners, 2)."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _make_limb(start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """Returns a bar (4, 2) from joint to joint; it is longer by a third of its width at both ends, to close gaps."""
    along = (end - start) / np.linalg.norm(end - start)
    across = 0.5 * width * np.array([-along[1], along[0]])
    start, end = start - along * width / 3, end + along * width / 3
    return np.stack([start + across, end + across, end - across, start - across])


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    """Turns points (K, 2) about the origin."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def flip_order(keypoint_names: Sequence[str]) -> np.ndarray:
    """Returns, for each of K key points, the index of the one that it becomes in a mirror: (K,) int64.

    A name with "left" becomes the same with "right", and the reverse.
    """
    other = {name: name for name in keypoint_names}
    other |= {name: name.replace("left", "right") for name in keypoint_names if "left" in name}
    other |= {name: name.replace("right", "left") for name in keypoint_names if "right" in name}
    return np.array([list(keypoint_names).index(other[name]) for name in keypoint_names], np.int64)
