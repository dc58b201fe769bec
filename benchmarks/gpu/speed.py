"""A model's speed: its network, the whole inference and a training step; on 1 image and 8, in float32 and TF32."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.models import Model
from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32, timed
from benchmarks.models import tiny_model
from common.families import family_of
from common.results import Instances
from torch_impl import device as devices

BATCHES = (1, 8)


def run(job: Job, report: Report) -> None:
    name = tiny_model(job.subject) if job.small else job.subject
    device = devices.select(job.device)
    model = Model(name, job.device)
    for images in (1, 2) if job.small else BATCHES:
        with report.attempt(f"inference, batch {images}"):
            inputs = model.inputs(images)
            found = _measure(inference(model.learner(images), inputs), name, images, device, report)
            if images == 1:
                _measure_masks(found[0], model, name, report)
        with report.attempt(f"training, batch {images}"):
            trained, batch = model.learner(images, training=True), model.batch(images)
            # With rate 0 the weights stay what they are, at the same cost.
            tasks = {"training step": lambda trained=trained, batch=batch: trained.train_step(batch, 0.0)}
            _measure(tasks, name, images, device, report)
        del trained


def inference(learner: Any, inputs: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The network up to where the host has a part, and the whole inference from prepared images to masks."""
    family_speed = family_of(learner.settings).speed
    image = torch.from_numpy(inputs["image"]).to(learner.device, memory_format=torch.channels_last)

    def forward() -> Any:
        with torch.inference_mode():
            return family_speed.forward(learner.network, image)

    learner.network.eval()
    return {family_speed.forward_title: forward, "whole inference": lambda: learner.predict(inputs)}


def _measure_masks(found: Instances, model: Model, name: str, report: Report) -> None:
    """Measures the part of an inference in which the host brings an image's masks to its size."""
    paste_masks = family_of(model.settings).speed.paste_masks
    if paste_masks is None:
        return
    height, width = found.image_size
    milliseconds = timed(lambda: paste_masks(found, model.settings), "cpu", seconds=0.3).milliseconds
    figures = {"masks": len(found), "size": f"{height} x {width}", "ms": milliseconds}
    report.add("masks brought to the image's size on the host", model=name, **figures)


def _measure(tasks: dict[str, Callable], name: str, images: int, device: str, report: Report) -> Any:
    """Adds the tasks' times to the report -> the last task's answer."""
    for task, call in tasks.items():
        for precision in ("fp32", "tf32"):
            allow_tf32(precision == "tf32")
            found = timed(call, device)
            report.add(
                "speed",
                model=name,
                task=task,
                batch=images,
                precision=precision,
                ms=found.milliseconds,
                shortest=found.shortest,
                longest=found.longest,
                images_per_s=round(1e3 * images / found.milliseconds, 1),
                peak_mib=found.peak_mib,
                found=len(found.answer[0]) if task == "whole inference" else "",
            )
    return found.answer
