"""detectron2: a .pth with the state dict under `model`, or a .pkl of NumPy arrays as its model zoo has them."""

from weights_convert.formats import state_dict_format
from weights_convert.writers import write_detectron2

UPSTREAM = state_dict_format(
    name="detectron2",
    endings=(".pth", ".pkl"),
    licence="CC BY-SA 3.0 where published in detectron2's model zoo, else as its author says",
    recognises=lambda names: any(name.startswith("proposal_generator.") for name in names),
    save=write_detectron2,
    file_names=(r"model_(?P<iteration>\d{7})",),
    ignored=r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+"
    r"|backbone\.bottom_up\..*\.norm\.num_batches_tracked",
)
