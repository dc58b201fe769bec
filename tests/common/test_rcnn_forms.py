"""The forms of objects come out of a batch as they went in."""

import numpy as np
import pytest

from common.families.mask_rcnn.outlines import Outline, pack_outlines, unpack_outlines

SQUARE, TRIANGLE = np.array([1.0, 1, 9, 1, 9, 9, 1, 9]), np.array([0.5, 0, 4, 0, 4, 2.25])
WINDOW = np.arange(6, dtype=np.uint8).reshape(2, 3) % 2
FORMS = {
    "none": [],
    "polygons": [Outline((SQUARE, TRIANGLE)), Outline((TRIANGLE,))],
    "bitmaps": [Outline(bitmap=WINDOW, corner=(4, 5)), Outline(bitmap=WINDOW.T.copy())],
    "both": [
        Outline((SQUARE,)),
        Outline(bitmap=WINDOW, corner=(7, 0)),
        Outline((TRIANGLE, SQUARE)),
        Outline(bitmap=WINDOW),
    ],
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_come_back(name):
    forms = FORMS[name]
    packed = pack_outlines(forms)
    assert all(array.ndim and not array.dtype.hasobject for array in packed.values())
    back = unpack_outlines(packed | {"host.boxes": np.zeros((len(forms), 4), np.float32)})
    assert len(back) == len(forms)
    for form, other in zip(forms, back, strict=True):
        assert len(form.polygons) == len(other.polygons) and form.corner == other.corner
        for one, two in zip(form.polygons, other.polygons, strict=True):
            np.testing.assert_array_equal(one, two)
        assert (form.bitmap is None) == (other.bitmap is None)
        if form.bitmap is not None:
            np.testing.assert_array_equal(form.bitmap, other.bitmap)
