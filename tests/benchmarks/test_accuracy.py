"""The benchmark of accuracy trains what it should by the frameworks' commands, once, and tables what they found."""

import json
import sys

import pytest

from benchmarks import accuracy, running
from benchmarks.accuracy import largest_difference, main, small_models
from benchmarks.running import Cost
from benchmarks.tables import read_table
from common.families import family_named, family_names

MASK_AP = "mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections)"
PQ = "panoptic PQ (panoptic quality, all classes)"


@pytest.fixture
def commands(monkeypatch):
    """The commands that would run, each with its words; an evaluation leaves figures, each framework its own."""
    ran: list[tuple[str, list[str]]] = []

    def run(module, *arguments):
        ran.append((module, list(map(str, arguments))))
        if module.endswith(".evaluate"):
            points = {"torch": 30.0, "jittor": 30.25, "mindspore": 29.5}[module.removesuffix("_impl.evaluate")]
            found = {"panoptic": {"PQ": points, "PQ_th": 40.0, "PQ_st": None}, "semantic": {"mIoU": 70.0}}
            found |= {shape: {"AP": points, "AP50": 35.0} for shape in ("box", "mask")}
            folder = arguments[arguments.index("--output") + 1]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").write_text(json.dumps(found))
        return Cost(2.0, 3.0)

    monkeypatch.setattr(running, "run_module", run)
    return ran


def run(monkeypatch, output, *words):
    monkeypatch.setattr(sys, "argv", ["accuracy", "--output", str(output), *words])
    main()
    return read_table(output / "accuracy.json")


def test_all_families_have_a_small_variant():
    assert len(small_models()) == len([name for name in family_names() if family_named(name).models])
    assert "yolact_tiny" in small_models() and "pose2seg_tiny" in small_models()


def test_each_run_trains_rates_and_is_a_row(commands, monkeypatch, tmp_path):
    words = ["--models", "yolact_tiny", "mask2former_tiny", "pose2seg_tiny", "--images", "9", "--iterations", "5"]
    table = run(monkeypatch, tmp_path, *words, "--seed", "3")
    forms = [words[5:] for module, words in commands if module == "common.data.shapes"]
    assert [form for form in forms if form not in ([],)] == [["--stuff"]] * 3 + [["--persons"]] * 3
    trained = [words for module, words in commands if module.endswith(".train")]
    assert len(trained) == 9 and all(
        words[-5:] == ["--seed", "3", "--skip-test", "--iterations", "5"] for words in trained
    )
    assert trained[0][:5] == [
        "yolact_tiny", "--data", f"{tmp_path}/data/instances", "--output", f"{tmp_path}/accuracy/yolact_tiny/torch"
    ]  # fmt: skip
    rows = {(row["model"], row["framework"]): row for row in table.rows}
    assert len(rows) == 9
    assert rows["yolact_tiny", "jittor"][MASK_AP] == 30.25
    assert rows["mask2former_tiny", "mindspore"][PQ] == 29.5
    assert {row["agreement"] for row in table.rows} == {0.75}
    assert (rows["pose2seg_tiny", "torch"]["minutes"], rows["pose2seg_tiny", "torch"]["cpu_minutes"]) == (2.0, 3.0)
    assert set(table.columns) >= set(table.rows[0])


def test_a_finished_run_is_not_run_again_and_an_interrupted_one_is(commands, monkeypatch, tmp_path):
    words = ["--models", "yolact_tiny", "--frameworks", "torch,jittor", "--iterations", "5"]
    first = run(monkeypatch, tmp_path, *words)
    (tmp_path / "accuracy/yolact_tiny/jittor" / accuracy.RUN).unlink()
    remains = tmp_path / "accuracy/yolact_tiny/jittor/log.jsonl"
    remains.write_text("{}\n")
    commands.clear()
    assert run(monkeypatch, tmp_path, *words).rows == first.rows
    assert [module for module, _ in commands] == ["common.data.shapes", "jittor_impl.train", "jittor_impl.evaluate"]
    assert not remains.exists()


def test_another_run_in_the_folder_is_refused(commands, monkeypatch, tmp_path):
    words = ["--models", "yolact_tiny", "--frameworks", "torch"]
    run(monkeypatch, tmp_path, *words, "--seed", "1")
    with pytest.raises(accuracy.UserError, match=r"seed 1, not .*seed 2"):
        run(monkeypatch, tmp_path, *words, "--seed", "2")


def test_the_cost_of_a_command_is_told_and_its_failure_stops():
    cost = running.run_module("this")
    assert 0 < cost.cpu_minutes < 1 and cost.minutes > 0
    with pytest.raises(accuracy.UserError, match=r"python -m no_such_module ended with exit code 1"):
        running.run_module("no_such_module")


def test_the_agreement_is_the_largest_difference():
    assert largest_difference([{"AP": 30.0, "PQ": 50.0}, {"AP": 31.0, "PQ": 48.0}, {"AP": 30.5, "PQ": 49.0}]) == 2.0
    assert largest_difference([{"AP": 30.0}]) is None
