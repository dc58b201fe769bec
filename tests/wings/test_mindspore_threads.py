"""MindSpore's idle threads sleep: a process that waits takes no processor's time."""

import time

import numpy as np
from mindspore import Tensor

from mindspore_impl import _threads, device


def used_after_an_operation() -> float:
    """The processors' seconds of a tenth of a second in which nothing is asked for."""
    x = Tensor(np.ones((512, 512), np.float32))
    (x * 2 + x).asnumpy()
    before = time.process_time()
    time.sleep(0.1)
    return time.process_time() - before


def test_idle_threads_sleep():
    device.select("cpu")
    assert _threads.stop_spinning()
    assert min(used_after_an_operation() for _ in range(3)) < 0.02


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(_threads, "_MANAGER", "no_such_name")
    assert not _threads.stop_spinning()
