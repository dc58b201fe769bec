"""The kind ms_deform_attn: multi-scale deformable attention on three maps, on one, and at exact places."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from tests.goldens import golden

INPUTS = ("value", "locations", "attention")


def ms_deform_attn(
    case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path
) -> dict[str, np.ndarray]:
    arrays, answers = golden.arrays(case), {}
    for name, run in golden.manifest(case)["cases"].items():
        shapes = arrays[run["spatial_shapes"]].tolist()
        given = [xp.asarray(arrays[run[each]], like) for each in INPUTS]

        def attend(value: Array, locations: Array, attention: Array, shapes=shapes) -> Array:
            return xp.ms_deform_attn(value, shapes, locations, attention)

        answers[f"{name}.output"] = xp.to_numpy(attend(*given))
        if framework != "numpy" and "grad_output" in run:
            weights = xp.asarray(arrays[run["grad_output"]], like)
            _, gradients = xp.value_and_grad(lambda *x, w=weights, f=attend: xp.sum(f(*x) * w), *given)
            names = [f"{name}.grad_{each}" for each in INPUTS]
            answers |= zip(names, map(xp.to_numpy, gradients), strict=True)
    return answers
