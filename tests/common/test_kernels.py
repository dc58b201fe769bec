"""The compiled kernels themselves: how they are built, and that their answers repeat bit for bit."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import kernels, numpy_ops
from tests.common import test_ms_deform_attn, test_transformer_kernels
from tests.common.kernel_calls import as_jittor_compiles

ROOT = Path(__file__).parents[2]
SHOW = "from common import kernels; print(kernels.library_path()); print(kernels.problem())"


def start(cache: Path, code: str = SHOW, **environment: str) -> subprocess.Popen:
    """A process with a cache folder of its own."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), **environment}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> list[str]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.splitlines()


@pytest.fixture
def copier(tmp_path) -> Path:
    """A compiler that needs no time: it writes the finished library, in two halves."""
    path = tmp_path / "copier"
    lines = [
        "#!/bin/sh",
        f'[ "$1" = --version ] && echo "copier of {tmp_path}" && exit',
        'while [ "$1" != -o ]; do shift; done; shift',
        f'head -c 20000 {kernels.library_path()} > "$1"',
        "sleep 0.5",
        f'tail -c +20001 {kernels.library_path()} >> "$1"',
    ]
    path.write_text("\n".join(lines))
    path.chmod(0o755)
    return path


def test_processes_that_start_at_once_build_one_library(tmp_path, copier):
    cache = tmp_path / "cache"
    answers = [finish(process) for process in [start(cache, CXX=str(copier)) for _ in range(3)]]
    (library,) = (cache / "triseg").iterdir()  # and nothing half-written beside it
    assert answers == [[str(library), "None"]] * 3
    built = library.stat().st_mtime_ns
    finish(start(cache, CXX=str(copier)))
    assert library.stat().st_mtime_ns == built


@pytest.mark.slow
def test_other_flags_are_another_library(tmp_path):
    finish(start(tmp_path))
    finish(start(tmp_path, "from common.kernels import compiling, library; compiling.FLAGS += ('-g0',); library()"))
    assert len(list((tmp_path / "triseg").iterdir())) == 2


def test_without_a_compiler_one_line_says_so(tmp_path):
    assert finish(start(tmp_path, CXX="no-such-compiler")) == ["None", "no C++ compiler: no-such-compiler not found"]


def test_a_compiler_that_fails_is_named_with_its_reason(tmp_path):
    broken = tmp_path / "broken-g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] || { echo "fatal error: out of order" >&2; exit 1; }\n')
    broken.chmod(0o755)
    path, reason = finish(start(tmp_path, CXX=str(broken)))
    assert (path, reason) == ("None", f"{broken} could not compile the kernels: fatal error: out of order")


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "triseg").write_text("a file where the folder should be")
    path, reason = finish(start(tmp_path))
    assert path == "None" and reason.startswith("the kernels' cache folder cannot be used:")


def address(array: np.ndarray) -> int:
    assert array.flags.c_contiguous
    return array.ctypes.data


def answers(library: ctypes.CDLL) -> dict[str, np.ndarray]:
    """All kernels on one input, which sums many values into each output."""
    random = np.random.default_rng(8)
    features = random.standard_normal((2, 6, 20, 37)).astype(np.float32)
    corners, sides = random.uniform(-4, 30, (90, 2)), random.uniform(-2, 30, (90, 2))
    rois = np.concatenate([random.integers(0, 2, (90, 1)), corners, corners + sides], 1).astype(np.float32)
    pooled, grad = np.empty((90, 6, 7, 5), np.float32), np.empty_like(features)
    shape = kernels.int64s(90, *features.shape, 7, 5)
    library.triseg_roi_align(address(features), address(rois), shape, 0.5, 0, 1, address(pooled))
    library.triseg_roi_align_grad(address(pooled), address(rois), shape, 0.5, 0, 1, address(grad))

    offset = random.uniform(-3, 3, (2, 18, 20, 37)).astype(np.float32)
    mask = random.random((2, 9, 20, 37)).astype(np.float32)
    columns = np.empty((2, 54, 740), np.float32)
    shape = kernels.int64s(*features.shape, 3, 3, 1, 1, 1, 1, 1, 1, 20, 37)
    sampling = address(offset), address(mask), shape
    library.triseg_deform_columns(address(features), *sampling, address(columns))
    grad_x, grad_offset, grad_mask = np.empty_like(features), np.empty_like(offset), np.empty_like(mask)
    library.triseg_deform_columns_grad_input(address(columns), *sampling, address(grad_x))
    outputs = address(grad_offset), address(grad_mask)
    library.triseg_deform_columns_grad_offset(address(columns), address(features), *sampling, *outputs)

    grid = random.uniform(-1.2, 1.2, (2, 30, 21, 2)).astype(np.float32)
    sampled, grad_image, grad_grid = np.empty((2, 6, 30, 21), np.float32), np.empty_like(features), np.empty_like(grid)
    shape = kernels.int64s(*features.shape, 2, 630, 1)
    library.triseg_grid_sample(address(features), address(grid), shape, address(sampled))
    library.triseg_grid_sample_grad_input(address(sampled), address(grid), shape, address(grad_image))
    inputs = address(sampled), address(features), address(grid)
    library.triseg_grid_sample_grad_grid(*inputs, shape, address(grad_grid))

    boxes = np.ascontiguousarray(np.round(np.tile(rois[:, 1:], (20, 1)) + random.uniform(0, 5, (1800, 1)), 0))
    boxes = boxes.astype(np.float32)
    keep = np.empty(len(boxes), np.int32)
    library.triseg_nms(address(boxes), None, len(boxes), 0.5, 0.0, address(keep))
    return {
        "pooled": pooled,
        "pooled's gradient": grad,
        "columns": columns,
        "columns' gradient": grad_x,
        "offsets' gradient": grad_offset,
        "mask's gradient": grad_mask,
        "sampled": sampled,
        "sampled's gradient": grad_image,
        "grid's gradient": grad_grid,
        "kept": keep,
        "kept by the reference": np.sort(numpy_ops.nms(boxes, -np.arange(len(boxes)), 0.5)),
        **test_ms_deform_attn.answers(library),
        **test_transformer_kernels.answers(library),
    }


def test_nms_of_many_boxes():
    found = answers(kernels.library())
    assert 20 < found["kept"].sum() < 1000
    np.testing.assert_array_equal(np.nonzero(found["kept"])[0], found["kept by the reference"])


def test_answers_repeat_whatever_the_number_of_threads():
    digest = (
        "import hashlib; from common import kernels; from tests.common.test_kernels import answers;"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in answers(kernels.library()).values())).hexdigest())"
    )
    cache = kernels.library_path().parents[1]
    digests = {finish(start(cache, digest, OMP_NUM_THREADS=str(threads)))[0] for threads in (1, 2, 3, 3)}
    assert len(digests) == 1


@pytest.mark.slow
def test_as_jittor_compiles_them(tmp_path):
    """C++14 with -Ofast: sums may round otherwise, but samples and suppressions are the same."""
    expected = answers(kernels.library())
    for name, answer in answers(as_jittor_compiles(tmp_path)).items():
        np.testing.assert_allclose(answer, expected[name], rtol=1e-5, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_huge_roi_takes_no_time(aligned):
    """Adaptive sampling of a roi of a billion cells: only the samples that lie on the features are visited."""
    features = np.ones((1, 1, 8, 8), np.float32)
    rois = np.float32([[0, -1e9, -1e9, 1e9, 1e9], [0, 2, 2, 3e38, 3e38]])
    pooled = np.empty((2, 1, 7, 7), np.float32)
    shape = kernels.int64s(2, *features.shape, 7, 7)
    kernels.library().triseg_roi_align(address(features), address(rois), shape, 1.0, 0, int(aligned), address(pooled))
    assert np.isfinite(pooled).all() and pooled.max() < 1e-6


def test_a_roi_of_an_unknown_image_gives_zeros():
    features = np.ones((1, 1, 8, 8), np.float32)
    rois = np.float32([[1, 1, 1, 5, 5], [-1, 1, 1, 5, 5], [np.nan, 1, 1, 5, 5], [0, 1, 1, 5, 5]])
    pooled = np.empty((4, 1, 2, 2), np.float32)
    shape = kernels.int64s(4, *features.shape, 2, 2)
    kernels.library().triseg_roi_align(address(features), address(rois), shape, 1.0, 2, 0, address(pooled))
    np.testing.assert_allclose(pooled[:, 0, 0, 0], [0, 0, 0, 1], rtol=1e-6)
