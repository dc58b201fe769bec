"""The crafted predictions of the golden cases yolact_loss and yolact_plus_loss, as settings, outputs and batch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import yolact
from common.config import YolactSettings, load_settings
from tests.goldens import golden

FOLDER = Path(__file__).parents[1] / "goldens"


@dataclass
class LossCase:
    settings: YolactSettings
    outputs: dict[str, np.ndarray]
    samples: list[dict[str, np.ndarray]]
    manifest: dict
    reference: dict[str, np.ndarray]
    mask_iou_weights: list[tuple[np.ndarray, np.ndarray]]


def loss_case(name: str) -> LossCase:
    case = FOLDER / name
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    settings = load_settings(manifest["model"])
    x = {key: golden.image(i["seed"], i["shape"]) for key, i in manifest["inputs"].items() if isinstance(i, dict)}
    x["conf"][:, :, 0] += 2
    outputs = {"loc": np.float32(0.6) * x["loc"], "conf": x["conf"], "mask": np.tanh(x["mask"])}
    outputs |= {"proto": np.maximum(x["proto"], 0), "segm": x["segm"]}
    geometry = yolact.Geometry(arrays["in.priors"], x["proto"].shape[1:3], x["segm"].shape[2:])
    samples = []
    for i, crowds in enumerate(arrays["in.num_crowds"]):
        objects = arrays[f"in.targets.{i}"]
        count = len(objects)
        masks = np.unpackbits(arrays[f"in.masks.{i}"], axis=1, count=138 * 138).reshape(count, 138, 138)
        crowd = np.arange(count) >= count - crowds
        labels = objects[:, 4].astype(np.int64)
        rng = np.random.default_rng(0)
        samples.append(yolact.targets(objects[:, :4], labels, crowd, masks, settings, rng, geometry))
    weights = golden.checkpoint(case)
    kernels = [(weights[key], weights[key.replace("weight", "bias")]) for key in weights if key.endswith("weight")]
    return LossCase(settings, outputs, samples, manifest, arrays, kernels)


def mask_iou_net(kernels: list[tuple[np.ndarray, np.ndarray]]):
    """(N, 1, h, w) -> (N, C) in NumPy: 3x3 convolutions of stride 2 and a 1x1, each with ReLU, then the maximum."""

    def net(x: np.ndarray) -> np.ndarray:
        for weight, bias in kernels:
            size = weight.shape[2]
            step = 2 if size == 3 else 1
            patches = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::step, ::step]
            x = np.maximum(np.einsum("nchwij,ocij->nohw", patches, weight, optimize=True) + bias[:, None, None], 0)
        return x.max(axis=(2, 3))

    return net
