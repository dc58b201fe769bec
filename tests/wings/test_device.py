"""Choosing a device, and what the doctor hears of it."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from common.errors import UserError


@pytest.fixture
def device(wing):
    """The wing's module; the device is the CPU before and afterwards."""
    module = wing("device")
    module.select("cpu")
    yield module
    module.select("cpu")


def test_the_cpu_is_always_there(device):
    assert device.select("cpu") == "cpu"


def test_the_best_is_what_the_doctor_is_told(device):
    assert device.select("auto").split(":")[0] == device.describe()["device"]


def test_a_device_of_others_is_refused(device, framework):
    other = "cuda" if framework == "mindspore" else "ascend"
    with pytest.raises(UserError, match=f"device {other}: .* runs on cpu or"):
        device.select(other)


def test_what_the_doctor_is_told(device):
    found = device.describe()
    assert found["version"][0].isdigit()
    assert found["works"], "nothing works"
    assert all(isinstance(command, str) for command in found["lacks"].values())


def test_the_doctor_names_what_starts_several_processes(device, framework, monkeypatch):
    """PyTorch and MindSpore bring their launchers along."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    commands = [command for lack, command in device.describe()["lacks"].items() if "several processes" in lack]
    assert commands == (["apt-get install openmpi-bin libopenmpi-dev"] if framework == "jittor" else [])


def test_preparing_twice_is_once(device):
    device.prepare()
    device.prepare()
    assert not any("not compiled" in lack for lack in device.describe()["lacks"])


def test_a_killed_child_leaves_the_process_alone(device):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child.kill()
    assert child.wait() == -signal.SIGKILL
    time.sleep(0.1)


@pytest.mark.compiled
def test_an_interrupt_is_an_exception(device, framework):
    if framework == "mindspore":
        compile_a_graph()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def compile_a_graph():
    """MindSpore takes the signal when it does so."""
    import mindspore as ms

    def twice(x):
        return x * 2

    assert ms.jit(twice)(ms.Tensor([1.0])).asnumpy() == 2
