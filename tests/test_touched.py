"""What a change touches: by imports, by texts, by the data beside; a wing's and a family's files touch their own."""

import subprocess

import pytest

from common.errors import UserError
from tests import touched
from tests.groups import FRAMEWORKS, groups
from tests.touched import Process, choose, find_edges

ALL = [Process("numpy"), *(Process(framework, group) for framework in FRAMEWORKS[1:] for group in groups())]


@pytest.fixture(scope="module", autouse=True)
def edges():
    """Found once, for reading every file takes a second."""
    found = find_edges()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(touched, "find_edges", lambda: found)
        yield found


def test_a_test_touches_itself():
    chosen = choose(["tests/common/test_losses.py"], ALL)
    assert list(chosen) == [Process("numpy")] and "tests/common/test_losses.py" in chosen[Process("numpy")]


def test_what_is_imported_over_several_files_is_reached():
    neutral = choose(["common/box_coder.py"], ALL)[Process("numpy")]
    assert {"tests/common/test_box_coder.py", "tests/common/test_rcnn_training.py"} <= set(neutral)
    assert "tests/common/data/test_order.py" not in neutral


def test_a_wings_file_concerns_its_framework_and_neutral_tests_that_name_wings():
    chosen = choose(["jittor_impl/ops.py"], ALL)
    assert {process.framework for process in chosen} == {"numpy", "jittor"}
    assert "tests/test_mirror.py" in chosen[Process("numpy")]
    assert "tests/common/test_boxes.py" not in chosen[Process("numpy")]
    assert "tests/contract/test_values.py" in chosen[Process("jittor", "shared")]


def test_a_familys_network_concerns_its_groups_and_what_belongs_to_none():
    chosen = choose(["torch_impl/yolact.py"], ALL)
    assert {process.group for process in chosen} == {None, "shared", "yolact", "yolact_goldens"}


def test_a_process_of_all_groups_runs_what_any_of_them_does():
    (files,) = choose(["torch_impl/yolact.py"], [Process("torch")]).values()
    of_groups = choose(["torch_impl/yolact.py"], [Process("torch", group) for group in groups()])
    assert set(files) >= {file for found in of_groups.values() for file in found}


def test_what_a_module_finds_by_name_is_reached(edges):
    """The families' records, the wings' learners, and the modules that a command starts in a process."""
    assert "common/families/yolact/family.py" in edges["common/families/__init__.py"]
    assert "mindspore_impl/train.py" in edges["tests/wings/test_resume.py"]
    assert "benchmarks/parity/worker.py" in edges["benchmarks/parity/__main__.py"]
    assert "tests/run.py" in edges["tests/test_run.py"]


def test_data_touches_what_reads_it():
    assert "tests/common/test_kernels.py" in choose(["common/kernels/nms.h"], ALL)[Process("numpy")]
    assert "tests/test_docs.py" in choose(["docs/pose2seg.md"], ALL)[Process("numpy")]
    assert choose(["docs/porting.md"], ALL)[Process("torch", "shared")] == ["tests/wings/test_porting.py"]
    golden = choose(["tests/goldens/pose2seg_tiny/manifest.json"], ALL)
    assert golden[Process("torch", "pose2seg_goldens")] == ["tests/goldens/test_goldens.py"]
    assert not {Process("torch", "yolact"), Process("torch", "yolact_goldens")} & golden.keys()
    assert Process("jittor", "yolact") in choose(["common/configs/yolact_tiny.yaml"], ALL)


@pytest.mark.parametrize("file", ["tests/conftest.py", "pyproject.toml", "folder/unknown.xyz"])
def test_in_doubt_everything_is_run(file, edges):
    chosen = choose([file], ALL)
    assert chosen.keys() == set(ALL)
    everything = {path for path in edges if path.rpartition("/")[2].startswith("test_")}
    assert {path for files in chosen.values() for path in files} == everything


def test_nothing_is_touched_by_nothing():
    assert choose([], ALL) == {}


def test_what_has_changed(tmp_path, monkeypatch):
    """Committed, changed and unknown files since the branch was left, under both names where one was moved."""

    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    def commit(*names):
        for name in names:
            (tmp_path / name).write_text(name * 50)
        git("add", ".")
        git("commit", "-m", "files")

    monkeypatch.setattr(touched, "ROOT", tmp_path)
    git("init", "-b", "main")
    commit("kept", "moved", "edited")
    git("checkout", "-b", "work")
    commit("new")
    git("checkout", "main")
    commit("elsewhere")
    git("checkout", "work")
    git("mv", "moved", "here")
    (tmp_path / "edited").write_text("otherwise")
    (tmp_path / "unknown").write_text("")
    assert touched.changed_files("main") == {"new", "moved", "here", "edited", "unknown"}
    with pytest.raises(UserError, match="git merge-base HEAD nowhere: "):
        touched.changed_files("nowhere")
