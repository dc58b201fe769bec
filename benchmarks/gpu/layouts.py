"""Whether the order in which maps lie in memory, and a search for the fastest convolutions, would make a difference."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.models import Model
from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32, timed
from benchmarks.models import first_models, tiny_model
from common.families import family_of
from torch_impl import device as devices

FORMATS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


def run(job: Job, report: Report) -> None:
    device = devices.select(job.device)
    for name in first_models():
        model = Model(tiny_model(name) if job.small else name, job.device)
        images = 2 if job.small else 8
        learner, inputs = model.learner(images), model.inputs(images)
        learner.network.eval()
        forward = family_of(model.settings).speed.forward
        for label, memory_format in FORMATS.items():
            with report.attempt(f"{name}, {label}"):
                network = learner.network.to(memory_format=memory_format)
                image = torch.from_numpy(inputs["image"]).to(device).to(memory_format=memory_format)
                call = partial(forward, network, image)
                _measure(call, {"model": name, "batch": images, "layout": label}, device, report)


def _measure(call: Callable[[], Any], facts: dict[str, Any], device: str, report: Report) -> None:
    """Adds a network's times, with and without a search for convolutions, to the report; facts: of the row."""
    for searches in (False, True):
        torch.backends.cudnn.benchmark = searches
        for precision in ("fp32", "tf32"):
            allow_tf32(precision == "tf32")
            with torch.inference_mode():
                found = timed(call, device, seconds=0.5)
            row = {"precision": precision, "ms": found.milliseconds, "peak_mib": found.peak_mib}
            report.add("layouts", **facts, cudnn_benchmark=searches, **row)
    torch.backends.cudnn.benchmark = False
