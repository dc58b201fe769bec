"""The MindSpore wing as the commands and `Predictor` are handed it. Importing this imports no framework."""

from typing import TYPE_CHECKING

from common.wing import DataFormat, Wing
from weights_convert import fit_for_training, model_of, open_weights

if TYPE_CHECKING:
    from common.data.packed import PackedSource


def load_learner() -> type:
    """The wing's `Learner`; says what to install where the framework is missing."""
    from mindspore_impl.learner import Learner

    return Learner


def _open_records(folder: str) -> "PackedSource":
    """What `python -m mindspore_impl.mindrecord` has written into a folder."""
    from common.data.packed import PackedSource

    return PackedSource(folder)


_MINDRECORD = DataFormat(
    "--mindrecord", "folder that `python -m mindspore_impl.mindrecord` has written, in place of --data", _open_records
)

WING = Wing("mindspore", load_learner, model_of, open_weights, fit_for_training, (_MINDRECORD,))
