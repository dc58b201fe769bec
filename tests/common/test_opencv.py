"""What must be the same with every release of OpenCV."""

import zlib

import cv2
import numpy as np
import pytest

from common import opencv
from common.families.pose2seg import affine

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (60, 80, 3)).astype(np.uint8)
MATRIX = np.array([[0.83, 0.21, 3.3], [-0.17, 0.9, 5.7]])


def test_warping_is_that_of_opencv_4():
    """By the checksum of what its warpAffine answers."""
    answer = opencv.warp_affine(PICTURE, affine.invert(MATRIX), (64, 72))
    assert answer.shape == (64, 72, 3)
    assert zlib.crc32(answer.tobytes()) == 662396891


@pytest.mark.skipif(not cv2.__version__.startswith("4."), reason="compares with OpenCV 4")
def test_places_are_rounded_as_opencv_4_does():
    for number in range(60):
        image = RANDOM.integers(0, 256, (*RANDOM.integers(5, 200, 2), 3)).astype(np.uint8)
        matrix = RANDOM.standard_normal((2, 3)) * [1, 1, 30]
        if number % 2:
            matrix[:, :2] = np.eye(2) * RANDOM.uniform(0.1, 3)
        size = tuple(RANDOM.integers(1, 150, 2).tolist())
        for each in (image, RANDOM.random(image.shape[:2]).astype(np.float32)):
            expected = cv2.warpAffine(each, matrix, size[::-1])
            np.testing.assert_array_equal(
                opencv._warp_at_rounded_positions(each, affine.invert(matrix), size), expected
            )


def test_a_broken_image_is_no_word_on_stderr(capfd):
    opencv.silence()
    assert cv2.imdecode(np.frombuffer(b"\x89PNG\r\n\x1a\n no image", np.uint8), cv2.IMREAD_COLOR) is None
    assert capfd.readouterr().err == ""
