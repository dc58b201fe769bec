"""Six objects of two classes and eight detections, each with another fate; worked by hand."""

SIDE = 10
# Where objects of the labels 0 and 1 are, by their left edge; each is a square at the top of the image.
OBJECTS = {0: (0, 100, 500), 1: (200, 300, 600)}
# Label, left edge and score of each detection; five pixels beside an object the IoU is a third.
FOUND = [
    (0, 0, 0.9),  # right
    (0, 0, 0.8),  # duplicate
    (0, 105, 0.7),  # localisation: the object at 100
    (0, 200, 0.6),  # classification: the object at 200
    (0, 305, 0.5),  # both: so the object at 300 is missed
    (1, 400, 0.4),  # background
    (0, 500, 0.3),  # right
    (1, 600, 0.2),  # right
]


def record(label: int, left: float, **more) -> dict:
    return {"image_id": 1, "category_id": label + 1, "bbox": [left, 0, SIDE, SIDE], **more}


def truth(*crowds: tuple[int, float, float]) -> dict:
    """The data set, with further crowds by label, left edge and width."""
    objects = [record(label, left, iscrowd=0) for label, all_left in OBJECTS.items() for left in all_left]
    wide = [record(label, left, iscrowd=1) | {"bbox": [left, 0, width, SIDE]} for label, left, width in crowds]
    return {"images": [{"id": 1}], "annotations": wide + objects}


def detections(*more: tuple[int, float, float]) -> list[dict]:
    return [record(label, left, score=score) for label, left, score in (*FOUND, *more)]
