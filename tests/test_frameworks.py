"""What happens before a framework is imported: nothing with the package alone, and all that it needs just before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jittor_impl
from common.errors import UserError
from common.frameworks import before_import

ROOT = Path(__file__).parents[1]


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("wing", ["torch", "jittor", "mindspore"])
def test_a_package_alone_imports_no_framework(wing):
    code = f"import sys, {wing}_impl; print([m for m in ('torch', 'jittor', 'mindspore') if m in sys.modules])"
    assert in_a_process(code).stdout == "[]\n"


@pytest.fixture
def hook():
    """Registers a hook and takes it away again."""
    finders = list(sys.meta_path)
    yield before_import
    sys.meta_path[:] = finders


def test_a_missing_framework_names_its_command(hook):
    hook("no_such_framework", "NoSuch", "nosuch", lambda: None)
    for _ in range(2):
        with pytest.raises(UserError, match=r'NoSuch is not installed: pip install "\.\[nosuch\]"'):
            import no_such_framework  # noqa: F401


def test_the_preparation_comes_before_the_import(hook, tmp_path, monkeypatch):
    (tmp_path / "some_framework.py").write_text("import os\nseen = os.environ.get('SOME_SETTING')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("SOME_SETTING", raising=False)
    hook("some_framework", "Some", "some", lambda: monkeypatch.setenv("SOME_SETTING", "prepared"))
    import some_framework

    assert some_framework.seen == "prepared"


def test_jittor_under_mpirun_asks_for_mpicc(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setattr(jittor_impl, "_mpi_compiler", lambda: None)
    with pytest.raises(UserError, match="mpicc, which is not there: apt-get install libopenmpi-dev"):
        jittor_impl._prepare()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home that Jittor has not seen yet; gives the folder in which it looks for oneDNN."""
    monkeypatch.setenv("JITTOR_HOME", str(tmp_path))
    return tmp_path / ".cache/jittor/mkl/dnnl_lnx_2.2.0_cpu_gomp"


def test_onednn_lies_where_jittor_looks(home):
    assert jittor_impl._lay_onednn()
    assert (home / "lib/libmkldnn.so").is_file()
    assert (home / "include/mkldnn.hpp").is_file()


def test_a_dangling_link_gives_way(home):
    home.mkdir(parents=True)
    (home / "lib").symlink_to(home / "of a deleted environment")
    assert jittor_impl._lay_onednn()
    assert (home / "lib/libmkldnn.so").is_file()


def test_what_jittor_downloaded_stays(home):
    for part, file in (("lib", "libmkldnn.so"), ("include", "mkldnn.hpp")):
        (home / part).mkdir(parents=True)
        (home / part / file).write_text("downloaded")
    assert jittor_impl._lay_onednn()
    assert (home / "lib/libmkldnn.so").read_text() == "downloaded"


def test_a_folder_without_the_library_is_left_alone(home):
    (home / "lib").mkdir(parents=True)
    assert not jittor_impl._lay_onednn()


def test_a_home_that_cannot_be_written_is_no_crash(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file where a folder should be")
    monkeypatch.setenv("JITTOR_HOME", str(tmp_path / "home"))
    assert not jittor_impl._lay_onednn()
    with pytest.raises(UserError, match="cannot be written to"):
        jittor_impl._prepare()


def test_without_a_gpu_no_cuda_compiler_is_asked_for(monkeypatch):
    monkeypatch.setattr(jittor_impl, "_GPU_DEVICES", ())
    environment = {}
    monkeypatch.setattr(os, "environ", environment)
    jittor_impl._set_environment()
    assert environment["nvcc_path"] == ""


def test_a_doctor_never_fails(tmp_path):
    """Frameworks that break at their import, or are no framework at all, are reported each in its line."""
    (tmp_path / "torch.py").write_text("raise OSError('libnothing.so: cannot open shared object file')")
    (tmp_path / "mindspore.py").write_text("import os; os._exit(3)")
    answer = in_a_process(
        "from common import doctor; import sys; sys.argv = ['x']; doctor.main()", PYTHONPATH=str(tmp_path)
    )
    assert answer.returncode == 0
    lines = {line.split()[0]: line for line in answer.stdout.splitlines()}
    assert "broken: OSError: libnothing.so" in lines["PyTorch"]
    assert "broken: its process ended with code 3" in lines["MindSpore"]
    assert lines["Jittor"].split()[1].startswith("1.")
