"""Files made or read by the frameworks themselves, each framework in a process of its own."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from common.models import load_settings
from tests.weights_convert.framework_process import FrameworkProcess
from tests.weights_convert.originals import from_original, layout, to_original
from tests.weights_convert.small_models import draw_canonical, small_or_other
from weights_convert import conversion

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def framework_process() -> Iterator[Callable[[str], FrameworkProcess]]:
    """framework_process(framework): the session's process of that framework, started when it is first asked for."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GLOG_v": "3"}
    processes: dict[str, FrameworkProcess] = {}

    def find(framework: str) -> FrameworkProcess:
        if framework not in processes or processes[framework].has_ended():
            processes[framework] = FrameworkProcess(framework, environment)
        return processes[framework]

    yield find
    for process in processes.values():
        process.close()


@pytest.fixture
def run_in(tmp_path, framework_process) -> Callable[[str, str], str]:
    """run_in(framework, code): what the code prints, run beside the test's files where that framework is installed."""

    def run(framework: str, code: str) -> str:
        if importlib.util.find_spec(framework) is None:
            pytest.skip(f"{framework} is not installed")
        return framework_process(framework).run(code, tmp_path)

    return run


@pytest.fixture(scope="session")
def draw_original() -> Callable[[str], dict[str, np.ndarray]]:
    """draw_original(model): a checkpoint in the original's names and order, every number another."""

    def draw(model: str) -> dict[str, np.ndarray]:
        rng, settings = np.random.default_rng(7), load_settings(model)
        if settings.family == "mask_rcnn":
            return to_original(draw_canonical(settings), settings, model)
        return {
            entry.original: rng.standard_normal(entry.shape, np.float32) if entry.canonical else np.zeros((), np.int64)
            for entry in layout(settings)
        }

    return draw


@pytest.fixture(scope="session")
def tiny_original(draw_original) -> dict[str, np.ndarray]:
    return draw_original("yolact_tiny")


@pytest.fixture(scope="session")
def tiny_weights(tiny_original) -> dict[str, np.ndarray]:
    """That of `tiny_original` under canonical names."""
    return from_original(tiny_original, load_settings("yolact_tiny"), "tiny")


@pytest.fixture
def small_models(monkeypatch) -> None:
    """Every Mask R-CNN has few channels for the converter, so that whole files stay small."""
    monkeypatch.setattr(conversion, "load_settings", small_or_other)
