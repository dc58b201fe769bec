"""Describes the data sets of Pose2Seg's original, as they lie in its folder `data`, and its evaluations on them."""

from common.families.data_layout import DataLayout, DataPart, Protocol

COCO_PERSONS_VAL = DataPart("cocoVal", "coco2017", "val")
OCHUMAN_VAL = DataPart("OCHumanVal", "OCHuman", "val")
OCHUMAN_TEST = DataPart("OCHumanTest", "OCHuman", "test")

DATA_LAYOUT = DataLayout(
    folder="coco2017",
    also_rated=(OCHUMAN_VAL,),
    protocols=(
        Protocol("--coco", "Pose2Seg: rate on COCOPersons val, in ROOT/coco2017 or ROOT", (COCO_PERSONS_VAL,)),
        Protocol(
            "--OCHuman",
            "Pose2Seg: rate on OCHuman val and test, in ROOT/OCHuman or ROOT",
            (OCHUMAN_VAL, OCHUMAN_TEST),
        ),
    ),
)
