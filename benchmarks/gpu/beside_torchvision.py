"""torchvision's maskrcnn_resnet50_fpn beside ours, on equal weights and the same image."""

from typing import Any

import numpy as np
import torch

from benchmarks.gpu.models import Model
from benchmarks.gpu.parts import SEED, Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32, timed
from common.errors import UserError
from torch_impl import device as devices
from weights_convert.conversion import formats

MODEL = "mask_rcnn_r50_fpn_torchvision"


def run(job: Job, report: Report) -> None:
    try:
        from torchvision.models.detection import maskrcnn_resnet50_fpn
    except (ImportError, RuntimeError) as error:
        raise UserError(f"torchvision does not load: {error}") from None

    device = devices.select(job.device)
    ours = Model(MODEL, job.device)
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=ours.settings.num_classes + 1)
    state = formats()["torchvision"].write(ours.weights, ours.settings, "ours")
    missing = theirs.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in state.items()}, strict=False)
    report.note(f"of torchvision's state not given: {missing.missing_keys or 'nothing'}")
    theirs.to(device)
    _compare(ours, theirs, device, job, report)
    for images in (1, 2) if job.small else (1, 8):
        with report.attempt(f"batch {images}"):
            _times(ours, theirs, images, device, job, report)


def _pictures(ours: Model, images: int, device: str) -> list[torch.Tensor]:
    """Images as torchvision takes them: (3, H, W) RGB between 0 and 1, without padding."""
    inputs, preprocessing = ours.inputs(images), ours.settings.preprocessing
    mean, deviation = (np.float32(x)[:, None, None] for x in (preprocessing.mean, preprocessing.deviation))
    pictures = []
    for image, (height, width) in zip(inputs["image"], inputs["image_size"].tolist(), strict=True):
        pixels = (image[:, :height, :width] * deviation + mean) / 255
        pictures.append(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).to(device))
    return pictures


def _compare(ours: Model, theirs: Any, device: str, job: Job, report: Report) -> None:
    """The best detections of one image: theirs are to be found among ours."""
    _size_as(ours, theirs, job)
    allow_tf32(False)
    (mine,) = ours.learner().predict(ours.inputs(1))
    theirs.eval()
    with torch.inference_mode():
        (found,) = theirs(_pictures(ours, 1, device))
    boxes, scores = found["boxes"].cpu().numpy(), found["scores"].cpu().numpy()
    near = np.abs(boxes[:, None] - mine.boxes[None]).max(axis=2) < 0.5
    near &= np.abs(scores[:, None] - mine.scores[None]) < 1e-3
    row = {"ours": len(mine.scores), "theirs": len(scores), "of theirs among ours": int(near.any(axis=1).sum())}
    report.add("detections of one image", **row)


def _size_as(ours: Model, theirs: Any, job: Job) -> None:
    if job.small:
        theirs.transform.min_size, theirs.transform.max_size = (128,), 192
        preprocessing = ours.settings.preprocessing.model_copy(update={"short_side": 128, "long_side": 192})
        ours.settings = ours.settings.model_copy(update={"preprocessing": preprocessing})


def _times(ours: Model, theirs: Any, images: int, device: str, job: Job, report: Report) -> None:
    pictures, inputs = _pictures(ours, images, device), ours.inputs(images)
    learner, trained, batch = ours.learner(images), ours.learner(images, training=True), ours.batch(images)
    step = _step_of(theirs, pictures, device)

    def infer() -> Any:
        theirs.eval()
        with torch.inference_mode():
            return theirs(pictures)

    tasks = {
        ("inference", "ours"): lambda: learner.predict(inputs),
        ("inference", "torchvision's, masks at full size on the GPU"): infer,
        ("training step", "ours"): lambda: trained.train_step(batch, 0.0),
        ("training step", "torchvision's"): step,
    }
    for precision in ("fp32", "tf32"):
        allow_tf32(precision == "tf32")
        for (task, whose), call in tasks.items():
            with report.attempt(f"{task}, {whose}"):
                found = timed(call, device)
                figures = {"ms": found.milliseconds, "shortest": found.shortest, "peak_mib": found.peak_mib}
                report.add("torchvision", task=task, whose=whose, batch=images, precision=precision, **figures)


def _step_of(theirs: Any, pictures: list[torch.Tensor], device: str) -> Any:
    """torchvision's training step, with the optimizer that its recipe has."""
    optimizer = torch.optim.SGD([p for p in theirs.parameters() if p.requires_grad], lr=0.0, momentum=0.9)
    rng = np.random.default_rng(SEED)
    targets = []
    for picture in pictures:
        height, width = picture.shape[1:]
        corner = rng.uniform(0, 0.6, (7, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (7, 2))], axis=1) * ([width, height] * 2)
        boxes = torch.from_numpy(boxes.astype(np.float32)).to(device)
        masks = torch.zeros(7, height, width, dtype=torch.uint8, device=device)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        labels = torch.from_numpy(rng.integers(1, 91, 7)).to(device)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})

    def step() -> dict[str, float]:
        theirs.train()
        optimizer.zero_grad(set_to_none=True)
        losses = theirs(pictures, targets)
        sum(losses.values()).backward()
        optimizer.step()
        return {name: value.item() for name, value in losses.items()}

    return step
