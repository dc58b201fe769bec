"""A port's dump finds its layers by path, map, or order and shape, and bad input is answered with one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity.against import compare_dumps, run_against
from benchmarks.parity.dumps import write_dump
from benchmarks.parity.matching import Match
from common.errors import UserError

SHAPES = {
    "stem.conv": (1, 4, 6, 6),
    "stem.norm": (1, 4, 6, 6),
    "stem.relu": (1, 4, 6, 6),
    "levels/0": (1, 4, 3, 3),
    "head": (1, 4, 3, 3),
    "head@1": (1, 4, 2, 2),
    "classes": (1, 5),
}
IMAGE = np.random.default_rng(1).standard_normal((1, 3, 12, 12)).astype(np.float32)
Arrays = dict[str, np.ndarray]


@pytest.fixture
def layers() -> Arrays:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


@pytest.fixture
def reference(tmp_path, layers) -> Path:
    """A dump whose float32 is wrong in the last places."""
    exact = {name: array.astype(np.float64) * (1 + 1e-7) for name, array in layers.items()}
    write_dump(tmp_path / "reference", {"image": IMAGE}, layers, exact)
    return tmp_path / "reference"


@pytest.fixture
def port(tmp_path):
    """port(arrays, map) is the folder of a dump as anybody writes it."""

    def write(arrays: Arrays, names: dict[str, str] | None = None, image: np.ndarray | None = IMAGE) -> Path:
        folder = tmp_path / "port"
        folder.mkdir(exist_ok=True)
        np.savez(folder / "outputs.npz", **({} if image is None else {"image": image}), **arrays)
        if names is not None:
            (folder / "map.json").write_text(json.dumps(names))
        return folder

    return write


def renamed(layers: Arrays) -> Arrays:
    return {f"tensor{index}": array for index, array in enumerate(layers.values())}


def scaled(layers: Arrays, start: str, factor: float) -> Arrays:
    """What a fault at `start` makes of it and of all that follows."""
    wrong = list(layers).index(start)
    return {name: array * np.float32(factor if i >= wrong else 1) for i, (name, array) in enumerate(layers.items())}


def refusal(reference: Path, other: Path) -> str:
    with pytest.raises(UserError) as refused:
        compare_dumps(reference, other)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_faithful_port_passes_by_path(reference, port, layers):
    run, matches = compare_dumps(reference, port({name: array * (1 - 1e-7) for name, array in layers.items()}))
    assert matches == [Match(name, name, "path") for name in SHAPES]
    assert [finding.name for finding in run.findings] == list(SHAPES)
    assert all(finding.passed and finding.difference.largest < 1e-6 for finding in run.findings)
    assert (run.framework, run.reference, run.first()) == ("port", "reference", None)
    assert run_against(reference, port(layers)) == 0


def test_tolerances_are_measured_layer_by_layer(tmp_path, port, layers):
    """What float32 costs the reference at a layer is what a port may be off there, and nowhere else."""
    noise = {"stem.norm": 1e-3, "head": 1e-3}
    exact = {name: array * (1 + noise.get(name, 0.0)) for name, array in layers.items()}
    write_dump(tmp_path / "reference", {"image": IMAGE}, layers, exact)
    off = {name: array * np.float32(1 + 1e-3) for name, array in layers.items()}
    run, _ = compare_dumps(tmp_path / "reference", port(off))
    assert {finding.name for finding in run.findings if finding.passed} == set(noise)
    measured = {finding.name: finding.tolerance.measured_largest for finding in run.findings}
    assert measured["head"] == pytest.approx(1e-3, rel=0.01) and measured["classes"] == 0


def test_the_first_that_departs_is_the_cause(reference, port, layers):
    run, _ = compare_dumps(reference, port(scaled(layers, "stem.relu", 1.5)))
    roles = {finding.name: finding.role for finding in run.findings}
    assert roles["stem.conv"] == roles["stem.norm"] == ""
    assert [name for name, role in roles.items() if role == "cause"] == ["stem.relu"]
    assert [name for name, role in roles.items() if role == "consequence"] == list(SHAPES)[3:]
    assert run.first().name == "stem.relu" and run.first().pattern == "scale"
    assert run_against(reference, port(scaled(layers, "stem.relu", 1.5))) == 1


@pytest.mark.parametrize("prefix", ["module.", "layer.", "module.layer."])
def test_a_prefix_is_no_other_path(reference, port, layers, prefix):
    run, matches = compare_dumps(reference, port({prefix + name: array for name, array in layers.items()}))
    assert matches == [Match(name, prefix + name, "path") for name in SHAPES]
    assert not run.failures()


def test_the_own_name_goes_before_one_with_a_prefix(reference, port, layers):
    both = {"layer.head": layers["head"] * 2} | layers
    run, matches = compare_dumps(reference, port(both))
    assert not run.failures()
    assert matches[-1] == Match("", "layer.head", "not compared")


def test_a_map_goes_before_everything(reference, port, layers):
    swapped = dict(layers) | {"stem.norm": layers["stem.relu"], "stem.relu": layers["stem.norm"]}
    run, matches = compare_dumps(reference, port(swapped, {"stem.norm": "stem.relu", "stem.relu": "stem.norm"}))
    assert not run.failures()
    assert matches[1] == Match("stem.norm", "stem.relu", "map")
    assert matches[3] == Match("levels/0", "levels/0", "path")


def test_a_map_names_inputs_too(reference, port, layers):
    run, matches = compare_dumps(reference, port({"data": IMAGE} | layers, {"data": "image"}, image=None))
    assert not run.failures() and len(matches) == len(SHAPES)


def test_foreign_names_go_by_order_and_shape(reference, port, layers):
    run, matches = compare_dumps(reference, port(renamed(layers)))
    pairs = zip(SHAPES, renamed(layers), strict=True)
    assert matches == [Match(name, given, "order and shape") for name, given in pairs]
    assert not run.failures()


@pytest.mark.parametrize("absent", SHAPES)
def test_a_missing_layer_shifts_no_other_and_never_passes(reference, port, layers, capsys, absent):
    theirs = renamed(layers)
    del theirs[f"tensor{list(SHAPES).index(absent)}"]
    run, matches = compare_dumps(reference, port(theirs))
    assert [match.name for match in matches if match.way == "missing"] == [absent]
    (finding,) = run.failures()
    assert finding.pattern == "missing" and absent in finding.detail and "port/outputs.npz" in finding.detail
    assert run_against(reference, port(theirs)) == 1
    assert f"  missing: {absent}\n" in capsys.readouterr().out


def test_many_missing_layers_are_one_finding(reference, port, layers):
    theirs = {"stem.conv": layers["stem.conv"], "classes": layers["classes"]}
    run, _ = compare_dumps(reference, port(theirs))
    (finding,) = run.failures()
    assert finding.detail.endswith("stem.norm, stem.relu, levels/0, head and 1 more")


def test_what_the_port_has_beyond_the_reference_is_told(reference, port, layers, capsys):
    theirs = {"extra": np.zeros((7, 7), np.float32)} | renamed(layers) | {"more": np.zeros(3, np.float32)}
    assert run_against(reference, port(theirs)) == 0
    out = capsys.readouterr().out
    assert "7 of 7 layers matched: 7 by order and shape" in out
    assert "stem.norm  is tensor1, by order and shape" in out
    assert "not compared: extra, more" in out


def test_the_report_is_written_where_asked(reference, port, layers, tmp_path):
    assert run_against(reference, port(scaled(layers, "head", 2)), tmp_path / "report") == 1
    assert "head" in (tmp_path / "report/against.html").read_text()
    json.loads((tmp_path / "report/against.json").read_text())


def test_several_inputs_are_held_by_name(tmp_path, port, layers):
    inputs = {"image": IMAGE, "rois": np.arange(5, dtype=np.float32)[None]}
    write_dump(tmp_path / "reference", inputs, layers, layers)
    folder = port({"input.rois": inputs["rois"]} | layers)
    assert not compare_dumps(tmp_path / "reference", folder)[0].failures()
    assert "'input.rois' is not the" in refusal(
        tmp_path / "reference", port({"input.rois": inputs["rois"] + 1} | layers)
    )
    assert "no array called input.rois" in refusal(tmp_path / "reference", port(layers))
    with np.load(tmp_path / "reference/inputs.npz") as stored:
        assert set(stored) == {"image", "rois"}


def test_another_precision_is_read(reference, port, layers):
    run, _ = compare_dumps(reference, port({name: array.astype(np.float64) for name, array in layers.items()}))
    assert not run.failures()
    half = {name: array.astype(np.float16) for name, array in layers.items()}
    assert compare_dumps(reference, port(half))[0].first().name == "stem.conv"


def test_another_input_is_no_comparison(reference, port, layers):
    answer = refusal(reference, port(layers, image=IMAGE[:, ::-1]))
    assert "port/outputs.npz: input 'image' is not the reference's" in answer and "channels" in answer
    nhwc = IMAGE.transpose(0, 2, 3, 1)
    assert "(1, 12, 12, 3); the reference's has (1, 3, 12, 12)" in refusal(reference, port(layers, image=nhwc))
    assert "no array called image" in refusal(reference, port(layers, image=None))


def test_nan_is_named_with_what_departs_before_it(reference, port, layers):
    layers["head"][0, 0, 1, 1] = np.nan
    answer = refusal(reference, port(layers))
    assert answer.endswith("port/outputs.npz: 'head' has 1 NaN or infinite values of 36")
    assert refusal(reference, port(scaled(layers, "stem.norm", 2))).endswith("; before it stem.norm departs")


@pytest.mark.parametrize("names", [None, {"mine": "stem.norm"}])
def test_another_shape_is_named(reference, port, layers, names):
    name = next(iter(names or {"stem.norm": ""}))
    theirs = {name if key == "stem.norm" else key: array for key, array in layers.items()}
    theirs[name] = theirs[name].transpose(0, 2, 3, 1)
    answer = refusal(reference, port(theirs, names))
    assert "port/outputs.npz: layer 'stem.norm'" in answer and name in answer
    assert answer.endswith("the shape (1, 6, 6, 4); the reference's has (1, 4, 6, 6)")


def test_nothing_in_common_is_an_error(reference, port):
    answer = refusal(reference, port({"a": np.zeros((3, 3)), "b": np.zeros((4, 4))}))
    assert "none of its layers (a, b) is one of the reference's (stem.conv, " in answer


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"nowhere": "head"}, "'nowhere' is not in"),
        ({"head": "nowhere"}, "'head' is said to be 'nowhere', which is not in"),
        ({"head": "levels/0", "levels/0": "levels/0"}, "two arrays are said to be 'levels/0'"),
        (["head"], "not an object of names"),
        ({"head": 1}, "not an object of names"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(reference, port, layers, names, words):
    answer = refusal(reference, port(layers, names))
    assert answer.startswith(str(reference.with_name("port") / "map.json")) and words in answer


def test_a_map_that_is_no_json_is_refused(reference, port, layers):
    folder = port(layers)
    (folder / "map.json").write_text("conv: stem.conv")
    assert "map.json: not JSON" in refusal(reference, folder)


def test_what_is_no_dump_is_refused(reference, port, layers, tmp_path):
    assert "not found" in refusal(reference, tmp_path / "nowhere")
    assert "not found" in refusal(tmp_path / "nowhere", port(layers))
    folder = port({"a": np.array([None, "x"], object)})
    assert "layer 'a' holds object, not real numbers" in refusal(reference, folder)
    (folder / "outputs.npz").write_bytes(b"PK no archive")
    assert "port/outputs.npz: not a file of arrays (npz)" in refusal(reference, folder)
    with zipfile.ZipFile(folder / "outputs.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    assert "port/outputs.npz: not a file of arrays (npz)" in refusal(reference, folder)


def test_a_damaged_array_is_named(reference, port, layers):
    folder = port(layers)
    content = bytearray((folder / "outputs.npz").read_bytes())
    place = content.index(layers["classes"].tobytes())
    content[place] ^= 0xFF
    (folder / "outputs.npz").write_bytes(content)
    answer = refusal(reference, folder)
    assert "port/outputs.npz: " in answer and "'classes.npy'" in answer


def test_a_reference_without_float64_measures_nothing(tmp_path, port, layers):
    folder = tmp_path / "reference"
    write_dump(folder, {"image": IMAGE}, layers, {"stem.conv": layers["stem.conv"]})
    assert "float64.npz: layer 'stem.norm'" in refusal(folder, port(layers))
    write_dump(folder, {"image": IMAGE}, layers)
    assert "float64.npz is not there" in refusal(folder, port(layers))


def test_a_layer_is_not_called_like_an_input(tmp_path, layers):
    with pytest.raises(UserError, match=r"'input\.conv'"):
        write_dump(tmp_path, {"image": IMAGE}, {"input.conv": layers["stem.conv"]})


def test_layers_may_have_any_name_and_nothing_in_them(tmp_path, port):
    """np.savez has parameters called file and args."""
    odd = {
        "file": np.zeros((0, 4), np.float32),
        "args": np.float32(3),
        "größe": np.ones(2, np.int64),
        "on": np.ones(2) > 0,
    }
    write_dump(tmp_path / "reference", {"image": IMAGE}, odd, odd)
    write_dump(tmp_path / "port", {"image": IMAGE}, odd)
    run, matches = compare_dumps(tmp_path / "reference", tmp_path / "port")
    assert [match.name for match in matches] == list(odd) and not run.failures()


def test_the_classes_of_a_reference_tell_the_usual_cause(tmp_path, port, layers):
    kinds = dict.fromkeys(layers, "Conv2d") | {"stem.norm": "BatchNorm2d"}
    write_dump(tmp_path / "reference", {"image": IMAGE}, layers, layers, kinds)
    wrong = layers["stem.norm"] * np.linspace(1.1, 1.4, 4, dtype=np.float32)[:, None, None]
    finding = compare_dumps(tmp_path / "reference", port(layers | {"stem.norm": wrong}))[0].first()
    assert (finding.kind, finding.pattern) == ("BatchNorm2d", "scale by channel")
    assert "epsilon" in finding.usual_cause
