"""The zoo knows published files by their names, rates them once, and its page says what the families' rooms say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.speed.made_up import make_weights
from benchmarks.tables import read_table
from benchmarks.zoo import rating
from benchmarks.zoo.__main__ import main
from benchmarks.zoo.page import make_page
from benchmarks.zoo.published import in_words, known_weights
from common.config.reading import CONFIG_FOLDER, model_names
from common.data.class_names import class_names
from common.data.shapes import write_shapes
from common.models import load_settings
from common.weights import Card, save
from weights_convert import family_of

ROOT = Path(__file__).parents[2]
OURS = 3  # columns of the page, the last ones
FILE = "tiny_1_20.safetensors"
UNKNOWN = 2  # files beside those that are listed: the card of the tiny model's, and a text
KNOWN = f"""
- file: {FILE}
  model: yolact_tiny
  figures: {{box: {{AP: 12.5}}, mask: {{AP: 10.0}}}}
  rated_on: shapes
  source: https://example.org/tiny
- file: broken_1_20.pth
  model: yolact_tiny
  figures: {{mask: {{AP: 10.0}}}}
  rated_on: shapes
  source: https://example.org/broken
"""


def test_every_published_file_is_of_a_model_that_its_name_tells_or_its_entry_does():
    known = known_weights()
    assert len({entry.file for entry in known}) == len(known) > 40
    named = {name: path.stem for path in CONFIG_FOLDER.glob("*.yaml") for name in _aliases(path)}
    told = 0
    for entry in known:
        assert entry.model in model_names()
        # The longest name of an original's that the file's begins with.
        name = max((name for name in named if entry.file.startswith(name)), key=len, default=None)
        assert name is None or named[name] == entry.model, entry.file
        told += name is not None
        assert all(0 < value < 100 for values in entry.figures.values() for value in values.values())
        assert entry.source.startswith("https://") and entry.rated_on
    assert told > 30


def _aliases(path):
    return yaml.safe_load(path.read_text()).get("aliases", ())


def test_the_page_and_the_published_figures_are_equal():
    """The columns of our own figures may be filled."""

    def published(text):
        return [line.split(" | ")[:-OURS] if line.startswith("| ") else line for line in text.splitlines()]

    page = (ROOT / "docs/zoo.md").read_text()
    fresh = published(make_page(known_weights(), []))
    assert published(page)[: len(fresh)] == fresh


def test_the_page_shows_ours_where_a_row_is_finished():
    entry = known_weights()[0]
    row = {"file": entry.file, "framework": "jittor", "figures": {"box": {"AP": 1.0}}, "about": {"date": "today"}}
    row["figures"] |= {rated: dict.fromkeys(values, 33.25) for rated, values in entry.figures.items()}
    lines = make_page([entry], [row]).splitlines()
    line = next(line for line in lines if entry.file in line and line.startswith("|"))
    shown = in_words(row["figures"], entry.figures)
    assert [cell.strip() for cell in line.strip("|").split("|")][-OURS:] == ["", shown, ""] and "33.2" in shown
    assert lines[-1] == "Ours: date: today."


def test_the_page_is_written_by_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["zoo", "--page", str(tmp_path / "page.md"), "--output", str(tmp_path)])
    main()
    assert (tmp_path / "page.md").read_text() == make_page(known_weights(), [])


@pytest.fixture
def folders(tmp_path):
    """A folder with a tiny model's weights under a made-up name, a broken file and an unknown one; and their list."""
    weights, settings = tmp_path / "weights", load_settings("yolact_tiny")
    names = class_names(settings.num_classes)
    card = Card(
        model="yolact_tiny", source="made up", licence="none", preprocessing=settings.preprocessing, classes=names
    )
    shapes = family_of(settings).canonical_shapes(settings)
    weights.mkdir()
    save(weights / FILE, make_weights(shapes, settings, 0), card)
    (weights / "broken_1_20.pth").write_bytes(b"nothing of the kind")
    (weights / "notes.txt").write_text("mine")
    (tmp_path / "known.yaml").write_text(KNOWN)
    return weights, tmp_path / "known.yaml"


def words_of(folders, output, *further):
    weights, known = folders
    data = str(output / "shapes")
    return [str(weights), "--data", data, "--known", str(known), "--output", str(output), *further]


def test_rows_are_kept_and_faults_do_not_stop_the_others(folders, tmp_path, monkeypatch, capsys):
    ran = []

    def evaluate(module, *words):
        ran.append(module)
        if module == "jittor_impl.evaluate":
            return subprocess.CompletedProcess(words, 2, stderr="a warning\nerror: Jittor is not installed\n")
        folder = Path(words[words.index("--output") + 1])
        figures = {shape: {"AP": 9.5, "AP50": 20.0} for shape in ("box", "mask")}
        (folder / "metrics.json").write_text(json.dumps(figures))
        return subprocess.CompletedProcess(words, 0, stderr="")

    monkeypatch.setattr(rating, "run_quietly", evaluate)
    monkeypatch.setattr(rating, "about_this_run", dict)
    monkeypatch.setattr(sys, "argv", ["zoo", *words_of(folders, tmp_path)])
    for attempt in range(2):
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert "not known: notes.txt" in out and f"2 files are known, {UNKNOWN} are not" in out
        first, second = err.strip().splitlines()
        assert "broken_1_20.pth" in first and second == f"error: {FILE} in jittor: Jittor is not installed"
        rated = ["torch_impl.evaluate", "jittor_impl.evaluate", "mindspore_impl.evaluate"]
        assert ran == (rated if attempt == 0 else ["jittor_impl.evaluate"])
        ran.clear()
    table = read_table(tmp_path / "zoo.json")
    assert [row["framework"] for row in table.rows] == ["torch", "mindspore"]
    row = table.rows[0]
    assert (row["published box AP"], row["box AP"], row["published mask AP"], row["mask AP"]) == (12.5, 9.5, 10.0, 9.5)
    assert row["source"] == "https://example.org/tiny" and set(table.columns) == set(row)
    monkeypatch.setattr(sys, "argv", ["zoo", *words_of(folders, tmp_path), "--data", str(tmp_path)])
    with pytest.raises(rating.UserError, match=r"torch.json: rated on .*shapes"):
        main()


@pytest.mark.slow
def test_a_file_is_rated_by_the_evaluate_command(folders, tmp_path):
    write_shapes(tmp_path / "shapes", images=1, seed=0, val_images=3)
    (folders[0] / "broken_1_20.pth").unlink()
    command = [sys.executable, "-m", "benchmarks.zoo", *words_of(folders, tmp_path, "--frameworks", "torch")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / f"zoo/{FILE}/torch.json").read_text())
    assert 0 <= row["figures"]["mask"]["AP"] <= 100 and set(row["figures"]) == {"box", "mask"}
    assert read_table(tmp_path / "zoo.json").rows[0]["mask AP"] == row["figures"]["mask"]["AP"]


def test_bad_input_gets_one_line(tmp_path, monkeypatch):
    (tmp_path / "known.yaml").write_text("- file: a\n  speed: 1\n")
    for words, text in (
        (["weights", "--data", "x", "--known", str(tmp_path / "known.yaml")], "not a list of published weights"),
        (["weights", "--data", "x", "--known", str(tmp_path / "none.yaml")], "list of published weights not found"),
        ([str(tmp_path / "none"), "--data", "x"], "no such folder of weights"),
        (["weights"], "give WEIGHTS_FOLDER and --data"),
    ):
        monkeypatch.setattr(sys, "argv", ["zoo", *words])
        with pytest.raises(rating.UserError, match=text):
            main()
