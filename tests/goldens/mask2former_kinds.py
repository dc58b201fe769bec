"""The kinds of Mask2Former: the network through the wing's trace command."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.commands import trace
from tests.frameworks import wing_of
from tests.goldens import golden
from weights_convert.writers import write_detectron2

Answers = dict[str, np.ndarray]
# The weights that the second run has stronger, and how many times as strong as noise.
QUERIES = {"query_feat": 1, "query_embed": 4}


def forward(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The checkpoint as the original wrote it, through the converter; a second time with other, stronger queries."""
    inputs = golden.manifest(case)["inputs"]
    strong = {}
    for name, times in QUERIES.items():
        made = inputs[f"strong_{name}"]
        strong[f"sem_seg_head.predictor.{name}.weight"] = times * golden.image(made["seed"], made["shape"])
    answers = _trace(case, framework, device, folder, {})
    return answers | {f"strong_{name}": x for name, x in _trace(case, framework, device, folder, strong).items()}


def _trace(case: Path, framework: str, device: str, folder: Path, changed: Answers) -> Answers:
    """The stages with the case's weights, some of which are changed; what a query may not see is of the one image."""
    manifest = golden.manifest(case)
    image = manifest["inputs"]["image"]
    inputs, weights, outputs = folder / "inputs.npz", folder / "weights.pkl", folder / "outputs.npz"
    np.savez(inputs, image=golden.image(image["seed"], image["shape"]))
    write_detectron2(weights, golden.checkpoint(case) | changed)
    arguments = [manifest["model"], "--weights", weights, "--inputs", inputs, "--outputs", outputs, "--device", device]
    trace.main(wing_of(framework), list(map(str, arguments)))
    return {name: x[0] if name.startswith("attn_mask") else x for name, x in np.load(outputs).items()}
