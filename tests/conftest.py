"""One framework a process: `pytest --framework torch` runs what concerns a wing, plain `pytest` all that is neutral.

tests/wings      what each wing must do; runs once a framework
tests/contract   the array contract; runs once a framework, and for NumPy, its reference
tests/goldens    the answers of the reference implementations; as the contract
anything else    neutral; runs once, with no framework imported
"""

import importlib
import os
import signal
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.groups import FRAMEWORKS, group_of, groups, runs_in

TESTS = Path(__file__).parent
DEVICES = ("cpu", "cuda")


def pytest_addoption(parser):
    parser.addoption("--framework", choices=FRAMEWORKS, default="numpy", help="the framework of this process")
    parser.addoption("--group", choices=groups(), help="of a wing's tests those of one group alone")
    parser.addoption("--device", choices=DEVICES, default="cpu", help="where tests/contract and tests/goldens compute")


def pytest_configure(config):
    """Before any test file imports the framework: the wing's package prepares what is read at that import."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it for what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--device") == "cuda":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # else a GPU rounds what convolutions read to ten bits
    framework = config.getoption("--framework")
    if framework != "numpy":
        importlib.import_module(f"{framework}_impl")


def pytest_ignore_collect(collection_path, config):
    if TESTS not in collection_path.parents:
        return None
    file = collection_path.relative_to(TESTS).as_posix()
    return None if runs_in(file, config.getoption("--framework")) else True


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests of other groups than the one asked for."""
    wanted = config.getoption("--group")
    if wanted is None:
        return
    chosen, left_out = [], []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        file = item.path.relative_to(TESTS).as_posix()
        (chosen if group_of(file, item.name, parameters) == wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


@pytest.fixture(autouse=True)
def _compiling(request, monkeypatch):
    """Lets MindSpore compile in a test that is marked so, where the environment has it leave that out."""
    if request.node.get_closest_marker("compiled"):
        monkeypatch.delenv("MS_JIT", raising=False)


@pytest.fixture(scope="module")
def browser():
    """The browser that the system has, without a window."""
    from tests.browser import open_browser  # few tests need it

    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def framework(request) -> str:
    """The name of this process's framework."""
    return request.config.getoption("--framework")


@pytest.fixture(scope="session")
def device_name(request) -> str:
    """The device of this process, as the commands call it."""
    return request.config.getoption("--device")


@pytest.fixture(scope="session")
def xp(framework, device_name) -> ModuleType:
    """The array contract in this process's framework."""
    if framework == "numpy":
        return importlib.import_module("common.numpy_ops")
    importlib.import_module(f"{framework}_impl.device").select(device_name)
    return importlib.import_module(f"{framework}_impl.ops")


@pytest.fixture(scope="session")
def like(framework, device_name, xp):
    """An array of this process's framework, for the contract's functions that create others."""
    if framework == "torch":
        return importlib.import_module("torch").zeros(1, device=device_name)
    if framework == "jittor":
        return importlib.import_module("jittor").zeros((1,))
    if framework == "mindspore":
        return importlib.import_module("mindspore").Tensor(np.zeros(1, np.float32))
    return np.zeros(1, np.float32)


@pytest.fixture(scope="session")
def wing(framework, xp):
    """wing("learner") is this framework's learner module, and so on."""
    return lambda module: importlib.import_module(f"{framework}_impl.{module}")
