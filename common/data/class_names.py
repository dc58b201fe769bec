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

# COCO's stuff, by the category ids that panoptic annotations have beside those of the objects.
_COCO_STUFF = {
    **{92: "banner", 93: "blanket", 95: "bridge", 100: "cardboard", 107: "counter", 109: "curtain", 112: "door-stuff"},
    **{118: "floor-wood", 119: "flower", 122: "fruit", 125: "gravel", 128: "house", 130: "light", 133: "mirror-stuff"},
    **{138: "net", 141: "pillow", 144: "platform", 145: "playingfield", 147: "railroad", 148: "river", 149: "road"},
    **{151: "roof", 154: "sand", 155: "sea", 156: "shelf", 159: "snow", 161: "stairs", 166: "tent", 168: "towel"},
    **{171: "wall-brick", 175: "wall-stone", 176: "wall-tile", 177: "wall-wood", 178: "water-other"},
    **{180: "window-blind", 181: "window-other", 184: "tree-merged", 185: "fence-merged", 186: "ceiling-merged"},
    **{187: "sky-other-merged", 188: "cabinet-merged", 189: "table-merged", 190: "floor-other-merged"},
    **{191: "pavement-merged", 192: "mountain-merged", 193: "grass-merged", 194: "dirt-merged", 195: "paper-merged"},
    **{196: "food-other-merged", 197: "building-other-merged", 198: "rock-merged", 199: "wall-other-merged"},
    200: "rug-merged",
}
COCO_PANOPTIC = (*COCO, *_COCO_STUFF.values())

# torchvision takes COCO's category ids, 1 to 90, for classes; these ids belong to no category.
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

PASCAL = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

PERSONS = ("person",)


def class_names(count: int) -> tuple[str, ...]:
    """Returns the names of `count` classes; numbers from 1 if no published data set has so many."""
    for names in (COCO, COCO_PANOPTIC, PASCAL, _coco_by_id()):
        if len(names) == count:
            return names
    return tuple(unnamed(number) for number in range(1, count + 1))


def category_ids(names: Sequence[str]) -> tuple[int, ...]:
    """Returns the category ids of these classes: COCO's own if the classes are COCO's, else 1, 2, 3, ..."""
    things = tuple(number for number in range(1, 91) if number not in _UNUSED_IDS)
    if tuple(names) == COCO:
        return things
    if tuple(names) == COCO_PANOPTIC:
        return things + tuple(_COCO_STUFF)
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
