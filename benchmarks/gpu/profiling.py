"""Counts the launches, copies and waits of one inference on the GPU, and names the kernels that take longest."""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.models import Model
from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32
from benchmarks.models import default_models, tiny_model
from torch_impl import device as devices

LONGEST = 10


def run(job: Job, report: Report) -> None:
    device = devices.select(job.device)
    allow_tf32(True)  # as PyTorch's convolutions are set by themselves
    for name in default_models():
        model = Model(tiny_model(name) if job.small else name, job.device)
        with report.attempt(name):
            learner, inputs = model.learner(), model.inputs(1)
            _profile(name, "inference", lambda learner=learner, inputs=inputs: learner.predict(inputs), device, report)
        with report.attempt(f"{name}, training"):
            learner, batch = model.learner(1, training=True), model.batch(1)
            step = lambda learner=learner, batch=batch: learner.train_step(batch, 0.0)  # noqa: E731
            _profile(name, "training step", step, device, report)


def _profile(name: str, task: str, call: Callable[[], Any], device: str, report: Report) -> None:
    for _ in range(3):
        call()
    on_gpu = device.startswith("cuda")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as recorded:
        call()
        if on_gpu:
            torch.cuda.synchronize()
    averages = recorded.key_averages()
    on_host = [event for event in averages if event.device_type == DeviceType.CPU]
    on_device = [event for event in averages if event.device_type != DeviceType.CPU]
    kernels = [event for event in on_device if not event.key.startswith(("Memcpy", "Memset"))]

    def count(events: list, *words: str) -> int:
        return sum(event.count for event in events if any(word in event.key for word in words))

    report.add(
        "one call",
        model=name,
        task=task,
        launches=count(on_host, "LaunchKernel"),
        copies_to_host=count(on_device, "DtoH"),
        copies_to_device=count(on_device, "HtoD"),
        waits=count(on_host, "Synchronize"),
        kernels_ms=round(sum(map(_time, kernels)) / 1e3, 2),
    )
    shown = sorted(kernels or on_host, key=_time, reverse=True)[:LONGEST]
    for event in shown if task == "inference" else []:
        row = {"calls": event.count, "ms": round(_time(event) / 1e3, 3)}
        report.add(f"longest of {name}", kernel=event.key[:90], **row)


def _time(event: Any) -> float:
    """Microseconds; under its name of today, and that of PyTorch 2.4's forerunners."""
    if event.device_type == DeviceType.CPU:
        return event.self_cpu_time_total
    found = getattr(event, "self_device_time_total", None)
    return event.self_cuda_time_total if found is None else found
