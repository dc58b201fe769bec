"""The kinds of Swin and of the cascade on it: the backbone alone, and the network through the wing's trace command."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.commands import trace
from common.models import load_settings
from tests.frameworks import wing_of
from tests.goldens import golden
from weights_convert.families import family_of
from weights_convert.writers import write_pth

Answers = dict[str, np.ndarray]
UPSTREAM = "swin_detection"
# The settings of the reference, under their own names, that a case may change.
_SETTINGS = {
    "model.test_cfg.rpn.nms_pre": "rpn.inference.before_nms",
    "model.test_cfg.rpn.max_per_img": "rpn.inference.total",
    "model.test_cfg.rcnn.score_thr": "detection.score_threshold",
    "model.test_cfg.rcnn.max_per_img": "detection.max_detections",
}
_UNREAD = "model.test_cfg.rpn.nms_post"  # a setting that the reference does not read


def backbone(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The maps of each image, from a network whose backbone has the case's weights."""
    manifest = golden.manifest(case)
    settings = load_settings(manifest["model"])
    learner = wing_of(framework).load_learner()(settings, device)
    source = golden.checkpoint(case)
    entries = [entry for entry in family_of(settings).layout(settings, UPSTREAM) if entry.original in source]
    given = {entry.canonical: entry.to_canonical(source[entry.original]) for entry in entries if entry.canonical}
    learner.load_weights({name: np.zeros(shape, np.float32) for name, shape in learner.shapes().items()} | given)
    answers = {}
    for name, image in manifest["inputs"].items():
        maps = learner.network.backbone(xp.asarray(golden.image(image["seed"], image["shape"]), like))
        suffix = name.removeprefix("image")
        answers |= {f"c{level}{suffix}": xp.to_numpy(each) for level, each in enumerate(maps, start=2)}
    return answers


def forward(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The checkpoint as the original wrote it, through the converter and the wing's trace command."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    image = manifest["inputs"]["image"]
    inputs, weights, outputs = folder / "inputs.npz", folder / "weights.pth", folder / "outputs.npz"
    np.savez(
        inputs,
        image=golden.image(image["seed"], image["shape"]),
        rois=np.pad(arrays["in.rois"], ((0, 0), (1, 0))),
        image_size=arrays["in.image_size"],
    )
    write_pth(weights, golden.checkpoint(case))
    arguments = [manifest["model"], "--weights", weights, "--inputs", inputs, "--outputs", outputs, "--device", device]
    given = {name: value for name, value in manifest["reference"]["settings"].items() if name != _UNREAD}
    changed = [f"{_SETTINGS[name]}={value}" for name, value in given.items()]
    trace.main(wing_of(framework), [*map(str, arguments), *changed])
    return dict(np.load(outputs))
