"""`python -m X_impl.trace`: a network's stages on given arrays, for comparing frameworks."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.commands.parser import Parser, model_arguments
from common.errors import UserError
from common.files import atomic_path, existing_file
from common.observing import Outputs
from common.wing import Wing, open_model

EXAMPLES = """
yolact_resnet50 --weights w.safetensors --inputs in.npz --outputs out.npz
yolact_resnet50 --weights w.safetensors --inputs in.npz --outputs out.npz --layers
"""


def main(wing: Wing, argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        wing,
        "trace",
        ["model"],
        "MODEL --weights FILE --inputs IN.npz --outputs OUT.npz",
        "Runs a network on the arrays of a file and writes every named stage.",
        EXAMPLES,
    )
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="weights of any known format")
    parser.add_argument(
        "--inputs",
        type=Path,
        required=True,
        metavar="IN.npz",
        help="`image` (N, 3, H, W), prepared, and what else the stages of the model's family read, such as regions or"
        " prompts; for --gradients a batch",
    )
    parser.add_argument("--outputs", type=Path, required=True, metavar="OUT.npz")
    parser.add_argument(
        "--layers", action="store_true", help="also every module's output, as layer.PATH; of its next calls as PATH@1"
    )
    parser.add_argument(
        "--gradients", action="store_true", help="also losses and gradients, as loss.TERM and grad.NAME"
    )
    arguments = parser.read(argv)
    inputs = _read_inputs(arguments.inputs)
    learner, _, _ = open_model(wing, *model_arguments(arguments))
    layers = Outputs() if arguments.layers else None
    outputs = learner.trace(inputs, layers, arguments.gradients)
    if layers is not None:
        outputs |= {f"layer.{name}": array for name, array in layers.arrays.items()}
    with atomic_path(arguments.outputs) as temporary, temporary.open("wb") as file:
        np.savez(file, **outputs)


def _read_inputs(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, of which `image` (N, 3, H, W) must be there and becomes float32."""
    try:
        with np.load(existing_file(path, "inputs")) as stored:
            arrays = dict(stored)
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise UserError(f"{path}: not a file of arrays (npz): {error}") from None
    image = arrays.get("image")
    if image is None:
        raise UserError(f"{path}: there is no array called image; there are {', '.join(arrays) or 'none'}")
    if image.ndim != 4 or image.shape[1] != 3:
        raise UserError(f"{path}: image has the shape {image.shape}, not (N, 3, H, W)")
    arrays["image"] = image.astype(np.float32)
    return arrays
