"""Two dumps pass the gates that both have something for; a fault is found at the first gate that can see it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign import judging
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import judge_dumps
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.pairing import pair
from benchmarks.foreign.parameters import pair_parameters
from benchmarks.foreign.verdict import describe_verdict, not_held
from benchmarks.parity.summary import passed
from common.files import write_json
from tests.benchmarks.foreign import small_training
from tests.benchmarks.foreign.judged_dumps import judge, refusal
from tests.benchmarks.foreign.small_training import ENTRIES, record_reference, record_training


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return record_reference(tmp_path_factory.mktemp("dumps") / "reference")


@pytest.fixture(scope="module")
def adam(tmp_path_factory) -> Path:
    return record_reference(tmp_path_factory.mktemp("dumps") / "reference", optimizer="adam", rate=1e-2, decay=0.05)


def test_a_right_port_passes_every_gate_that_both_have(reference, tmp_path):
    record_training(tmp_path / "port", steps=3)
    judgement = judge(reference, tmp_path / "port")
    assert passed([judgement.run])
    assert {finding.gate for finding in judgement.run.findings} == {1, 2, 3, 4, 5}
    assert {finding.step for finding in judgement.run.findings_of(4)} == {1, 2, 3}
    assert judgement.not_judged == {0: "neither dump has anything for it"}


def test_what_is_missing_is_not_judged(reference, tmp_path):
    record_training(tmp_path / "port")
    for name in ("losses.json", "gradients.npz", "results.json"):
        (tmp_path / "port" / name).unlink()
    judgement = judge(reference, tmp_path / "port")
    assert passed([judgement.run])
    assert {finding.gate for finding in judgement.run.findings} == {1, 4}
    assert judgement.not_judged[2] == "port has no losses" and judgement.not_judged[5] == "port has no results"


@pytest.mark.parametrize(
    ("fault", "gate", "name", "words"),
    [
        ({"epsilon": 1e-3}, 1, "norm", "epsilon"),
        ({"penalty": 2e-2}, 2, "penalty", "its weight"),
        ({"slip": 1.5}, 3, "fc1.weight", "divided by"),
        (
            {"momentum": 0.8},
            4,
            "update of fc2.weight",
            "momentum 0.8, weight decay 0.001; the reference: SGD: momentum",
        ),
        ({"decay": 0.0}, 4, "update of fc1.weight", "momentum 0.9, no weight decay; the reference"),
        ({"undecayed": ("bias",)}, 4, "update of fc1.bias", "no weight decay; the reference"),
        ({"rate": 0.1}, 4, "learning rate", "schedule"),
        ({"norm_momentum": 0.9}, 4, "update of norm.running_mean", "momentum is read the other way"),
        ({"unbiased": False}, 4, "update of norm.running_var", "biased"),
    ],
)
def test_a_fault_is_found_at_the_first_gate_that_can_see_it(reference, tmp_path, fault, gate, name, words):
    record_training(tmp_path / "port", **fault)
    run = judge(reference, tmp_path / "port").run
    first = run.first()
    causes = [finding.name for finding in run.failures(gate) if finding.role == "cause"]
    assert first.gate == gate and name in causes, causes
    told = next(finding for finding in run.failures(gate) if finding.name == name)
    assert words in told.usual_cause
    behind = [finding for finding in run.failures() if gate < finding.gate < 4]
    assert all(finding.role == "consequence" for finding in behind)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            {"epsilon_of_adam": 1e-3},
            "epsilon 0.001, weight decay 0.05; the reference: Adam: betas 0.9 and 0.999, epsilon",
        ),
        ({"decay": 0.0}, "no weight decay; the reference"),
        ({"optimizer": "sgd"}, "SGD: momentum 0.9"),
    ],
)
def test_a_rule_of_adam_is_read(adam, tmp_path, fault, words):
    right = {"optimizer": "adam", "rate": 1e-2, "decay": 0.05}
    record_training(tmp_path / "port", **right)
    assert passed([judge(adam, tmp_path / "port").run])
    record_training(tmp_path / "port", **right | fault)
    assert words in judge(adam, tmp_path / "port").run.first().usual_cause


def test_a_layer_that_departs_by_its_weights_is_said_to(reference, tmp_path, monkeypatch):
    monkeypatch.setitem(small_training.START, "fc1.weight", 2 * small_training.START["fc1.weight"])
    record_training(tmp_path / "port")
    first = judge(reference, tmp_path / "port").run.first()
    assert first.name == "fc1"
    assert first.usual_cause == "fc1.weight is not the reference's (scale: 2 times the reference)"


def test_steps_are_judged_by_the_ports_own_state(reference, tmp_path):
    """Two right runs part; a port with other weights and gradients still moves by the reference's rule, or does not."""
    record_training(tmp_path / "port", slip=3.0)
    run = judge(reference, tmp_path / "port").run
    assert run.first().gate == 3
    assert not [finding for finding in run.failures(4) if finding.name.endswith("weight")]


def test_parameters_under_other_names_are_paired_by_a_map(reference, tmp_path):
    record_training(tmp_path / "port")
    for path in [tmp_path / "port/parameters.npz", tmp_path / "port/gradients.npz", *tmp_path.glob("port/steps/*.npz")]:
        with np.load(path) as stored:
            renamed = {name.replace("fc2.weight", "top.w"): stored[name] for name in stored.files}
        np.savez(path, **renamed)
    (tmp_path / "port/map.json").write_text('{"top.w": "fc2.weight"}')
    run = judge(reference, tmp_path / "port").run
    assert passed([run])
    assert {"fc2.weight", "update of fc2.weight"} <= {finding.name for finding in run.findings}


def without(name: str, folder: Path) -> None:
    """Takes an array out of everything that a dump has of its weights."""
    for path in [folder / "parameters.npz", *folder.glob("steps/*.npz")]:
        with np.load(path) as stored:
            left = {key: stored[key] for key in stored.files if not key.endswith(name)}
        np.savez(path, **left)


def test_weights_that_one_of_the_two_has_alone_are_said_to_be_not_judged(reference, tmp_path):
    record_training(tmp_path / "port")
    judgement = judge(reference, tmp_path / "port")
    assert "not held" not in describe_verdict(judgement.run, judgement.pairs, judgement.weights)
    without("norm.running_var", tmp_path / "port")
    judgement = judge(reference, tmp_path / "port")
    assert passed([judgement.run])
    assert not_held(judgement.pairs, judgement.weights) == [
        "norm.running_var: weights that are not in the port's dump: not judged"
    ]
    text = describe_verdict(judgement.run, judgement.pairs, judgement.weights)
    assert "\n  not held: norm.running_var: weights that are not in the port's dump: not judged\n" in text
    for path in (tmp_path / "port").iterdir():
        if path.name not in ("dump.json", "inputs.npz", "layers.npz", "kinds.json", "parameters.npz"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    judgement = judge(reference, tmp_path / "port")
    assert judgement.pairs.keys() == {1} and not_held(judgement.pairs, judgement.weights)


def test_each_pairing_is_made_once(reference, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(judging, "pair", lambda *given: made.append(given) or pair(*given))
    monkeypatch.setattr(judging, "pair_parameters", lambda *given: made.append(given) or pair_parameters(*given))
    record_training(tmp_path / "port", steps=1)
    ours = read_dump(reference)
    judge_dumps(ours, read_dump(tmp_path / "port"), Measure(ours), (3, 4))
    assert len(made) == 3  # of layers, of weights, and of the weights before the steps


def test_a_loss_without_its_term_and_one_too_many_fail(reference, tmp_path):
    record_training(tmp_path / "port")
    (tmp_path / "port/losses.json").write_text('{"ce": 1.0, "extra": 0.5}')
    failed = {finding.name for finding in judge(reference, tmp_path / "port").run.failures(2)}
    assert failed == {"ce", "penalty", "extra"}


def test_a_second_run_or_a_tolerance_measures_in_place_of_float64(tmp_path):
    record_training(tmp_path / "reference")
    record_training(tmp_path / "port")
    assert "float64" in refusal(tmp_path / "reference", tmp_path / "port")
    assert passed([judge(tmp_path / "reference", tmp_path / "port", tolerance=1e-5).run])
    record_training(tmp_path / "port", epsilon=1e-3)
    assert judge(tmp_path / "reference", tmp_path / "port", tolerance=1e-5).run.first().name == "norm"
    assert passed([judge(tmp_path / "reference", tmp_path / "port", tolerance=0.04).run])
    record_training(tmp_path / "reference/again")
    assert "to the last bit" in refusal(tmp_path / "reference", tmp_path / "port")
    record_training(tmp_path / "reference/again", epsilon=1.01e-5)
    assert judge(tmp_path / "reference", tmp_path / "port").run.first().name == "norm"
    record_training(tmp_path / "port", epsilon=1.02e-5)
    assert passed([judge(tmp_path / "reference", tmp_path / "port").run])


def test_results_are_compared_object_by_object(reference, tmp_path):
    record_training(tmp_path / "port")
    write_json(tmp_path / "port/results.json", ENTRIES[::-1])
    assert passed([judge(reference, tmp_path / "port").run])
    moved = [entry | {"bbox": [entry["bbox"][0] + 3, *entry["bbox"][1:]]} for entry in ENTRIES]
    write_json(tmp_path / "port/results.json", moved)
    assert judge(reference, tmp_path / "port").run.first().name == "boxes"
    write_json(tmp_path / "port/results.json", ENTRIES[:3])
    assert judge(reference, tmp_path / "port").run.first().name == "detections"
    write_json(tmp_path / "port/results.json", [])
    assert judge(reference, tmp_path / "port").run.first().name == "detections"
    write_json(tmp_path / "port/results.json", [{"image_id": 1, "category_id": 2}])
    assert "entry 0 has no score" in refusal(reference, tmp_path / "port")


def test_another_input_is_refused(reference, tmp_path):
    record_training(tmp_path / "port")
    with np.load(tmp_path / "port/inputs.npz") as stored:
        image = stored["image"]
    np.savez(tmp_path / "port/inputs.npz", image=2 * image)
    answer = refusal(reference, tmp_path / "port")
    assert "port/inputs.npz: input 'image' is not the reference's" in answer and "scale" in answer


def test_a_version_to_come_is_refused(reference, tmp_path):
    record_training(tmp_path / "port", steps=1)
    (tmp_path / "port/dump.json").write_text('{"version": 2}')
    assert "dump.json: version 2" in refusal(reference, tmp_path / "port")
    (tmp_path / "port/dump.json").write_text("[]")
    assert 'dump.json: no "version"' in refusal(reference, tmp_path / "port")
    assert "dump not found" in refusal(reference, tmp_path / "nowhere")
