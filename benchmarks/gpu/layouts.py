"""Whether the order in which maps lie in memory, and a search for the fastest convolutions, would make a difference."""

import torch

from benchmarks.gpu.models import Model
from benchmarks.gpu.parts import Job, tiny
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32, timed
from torch_impl import device as devices

FORMATS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
MODELS = ("yolact_resnet50", "mask_rcnn_r50_fpn")


def run(job: Job, report: Report) -> None:
    device = devices.select(job.device)
    for name in MODELS:
        model = Model(tiny(name) if job.small else name, job.device, job.small)
        images = 2 if job.small else 8
        learner, inputs = model.learner(images), model.inputs(images)
        learner.network.eval()
        for label, memory_format in FORMATS.items():
            with report.attempt(f"{name}, {label}"):
                network = learner.network.to(memory_format=memory_format)
                image = torch.from_numpy(inputs["image"]).to(device).to(memory_format=memory_format)
                _measure(name, label, network, image, images, device, report)


def _measure(name: str, label: str, network, image: torch.Tensor, images: int, device: str, report: Report) -> None:
    for searches in (False, True):
        torch.backends.cudnn.benchmark = searches
        for precision in ("fp32", "tf32"):
            allow_tf32(precision == "tf32")
            with torch.inference_mode():
                found = timed(lambda: network(image), device, seconds=0.5)
            row = {"precision": precision, "ms": found.milliseconds, "peak_mib": found.peak_mib}
            report.add("layouts", model=name, batch=images, layout=label, cudnn_benchmark=searches, **row)
    torch.backends.cudnn.benchmark = False
