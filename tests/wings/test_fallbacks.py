"""Where the project's compiled kernels are not to be had, the framework's own operations give the goldens' numbers too.

That is what a wing computes with on a GPU, or without a compiler; the array contract's tests hold each operator so.
"""

import functools
from pathlib import Path

import pytest

from common import kernels
from tests.goldens import golden, runner

FOLDER = Path(golden.__file__).parent
WHOLE = "yolact_plus_resnet50"
CASES = {
    "torch": ["roi_align", "ms_deform_attn", "rpn_proposals", "roi_heads_inference", "mask_rcnn_tiny", WHOLE],
    # Its operations compile for a while where a network is among them.
    "mindspore": ["roi_align", "ms_deform_attn", "roi_heads_inference", "swin_tiny_fast"],
    # Its operators are compiled in any case.
    "jittor": [],
}


def pytest_generate_tests(metafunc):
    cases = CASES[metafunc.config.getoption("--framework")]
    metafunc.parametrize(
        "case", [pytest.param(case, marks=pytest.mark.slow if case == WHOLE else ()) for case in cases]
    )


@functools.cache  # as what it stands in for: what is cached, MindSpore does not compile
def no_library():
    return None


@pytest.fixture
def no_kernels(monkeypatch, framework, wing):
    monkeypatch.setattr(kernels, "library", lambda: None)
    if framework == "torch":
        monkeypatch.setattr(wing("_kernels"), "torchvision_ops", lambda: None)
        yield
        return
    if framework == "mindspore":
        monkeypatch.setattr(wing("_onednn"), "library_file", no_library)
    wing("_kernels").library_file.cache_clear()
    yield
    wing("_kernels").library_file.cache_clear()


def test_a_golden_case_without_kernels(case, no_kernels, framework, device_name, xp, like, tmp_path):
    assert runner.hold(FOLDER / case, framework, device_name, xp, like, tmp_path)
