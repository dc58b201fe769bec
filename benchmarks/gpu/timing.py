"""Timing on a device: by its events on a GPU, by the clock on the CPU."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call, of the middle repetition, the shortest and the longest; memory in MiB that tensors took."""

    milliseconds: float
    shortest: float
    longest: float
    repetitions: int
    peak_mib: float | None
    answer: Any


def timed(
    call: Callable[[], Any], device: str, seconds: float = 1.0, warmup: int = 2, least: int = 3, most: int = 30
) -> Timing:
    """Calls that warm up, then as many as take `seconds`, within `least` and `most`."""
    for _ in range(warmup):
        answer = call()
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - began < seconds):
        duration, answer = (_by_events if on_gpu else _by_the_clock)(call)
        times.append(duration)
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
    figures = (statistics.median(times), min(times), max(times))
    return Timing(*(round(value, 3) for value in figures), len(times), peak and round(peak), answer)


def _by_events(call: Callable[[], Any]) -> tuple[float, Any]:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    answer = call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end), answer


def _by_the_clock(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = call()
    return 1e3 * (time.perf_counter() - began), answer


def allow_tf32(allowed: bool) -> None:
    """Whether convolutions and matrix products of float32 may round what they read to TF32."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
