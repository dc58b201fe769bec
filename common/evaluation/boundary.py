"""COCO's evaluation of masks' boundaries (Cheng et al., 2021), by pycocotools with another overlap."""

from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle_tools
from pycocotools.cocoeval import COCOeval

# The width of a strip, in diagonals of the image.
_WIDTH = 0.02


class BoundaryEval(COCOeval):
    """pycocotools' evaluation, to which two masks overlap as little as they do or as the strips inside their edges do.

    A crowd is no object with an edge: what is found in it overlaps it as a whole. The kind of results is "segm".
    """

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray | list:
        """The overlaps (D, G) of an image's detections of a class, best score first, and the annotated objects."""
        whole = super().computeIoU(imgId, catId)
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truth or not found:
            return whole
        order = np.argsort([-each["score"] for each in found], kind="stable")[: self.params.maxDets[-1]]
        strips = [strip_of(found[row]["segmentation"]) for row in order]
        crowd = [int(each["iscrowd"]) for each in truth]
        edges = rle_tools.iou(strips, [strip_of(each["segmentation"]) for each in truth], crowd)
        return np.where(np.array(crowd, bool), whole, np.minimum(whole, edges))


def strip_of(mask: dict[str, Any]) -> dict[str, Any]:
    """The pixels of a mask (RLE) from which a pixel outside it, or the image's edge, is near: as an RLE.

    Near is a fiftieth of the image's diagonal, in steps to any of eight neighbours.
    """
    height, width = mask["size"]
    reach = max(1, round(_WIDTH * float(np.hypot(height, width))))
    x, y, across, down = (int(value) for value in rle_tools.toBbox(mask))
    if not across or not down:
        return mask
    pixels = rle_tools.decode(mask)
    part = pixels[y : y + down, x : x + across]
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    # Around the box of a mask there is nothing of it, within the image or not.
    inner = cv2.erode(np.ascontiguousarray(part), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    part -= inner
    return rle_tools.encode(pixels)
