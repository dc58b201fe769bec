"""Gives the class names that published weights were trained on, in the order of their outputs."""

from collections.abc import Sequence

from common.errors import UserError

COCO = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)

# torchvision takes COCO's category ids, 1 to 90, for classes; these ids belong to no category.
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

PASCAL = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

PERSONS = ("person",)


def class_names(count: int) -> tuple[str, ...]:
    """Returns the names of `count` classes; numbers from 1 if no published data set has so many."""
    for names in (COCO, PASCAL, _coco_by_id()):
        if len(names) == count:
            return names
    return tuple(unnamed(number) for number in range(1, count + 1))


def category_ids(names: Sequence[str]) -> tuple[int, ...]:
    """Returns the category ids of these classes: COCO's own if the classes are COCO's, else 1, 2, 3, ..."""
    if tuple(names) == COCO:
        return tuple(number for number in range(1, 91) if number not in _UNUSED_IDS)
    return tuple(range(1, len(names) + 1))


def unnamed(number: int) -> str:
    """Returns the stand-in for the name of a class, counted from 1, that a checkpoint does not tell."""
    return f"class {number}"


def check_class_names(known: Sequence[str], wanted: Sequence[str], weights: str, data: str) -> None:
    """Refuses to rate a model on other classes than its own; a class without a known name may be any class.

    known, wanted: the class names of `weights` and of `data`, each in its own order.
    """
    if len(known) != len(wanted):
        raise UserError(f"{weights} knows {len(known)} classes, {data} has {len(wanted)}")
    for number, (ours, theirs) in enumerate(zip(known, wanted, strict=True), start=1):
        if ours not in (theirs, unnamed(number)):
            raise UserError(f"class {number} is {ours} to {weights} and {theirs} in {data}")


def _coco_by_id() -> tuple[str, ...]:
    """Returns names for COCO's ids 1 to 90, with stand-ins for the unused ones."""
    names = iter(COCO)
    return tuple(unnamed(number) if number in _UNUSED_IDS else next(names) for number in range(1, 91))
