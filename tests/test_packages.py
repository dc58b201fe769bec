"""What a command does not need it does not import, and what it needs and lacks it names."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.data.shapes import write_shapes
from common.packages import MissingPackage, import_package

ROOT = Path(__file__).parents[1]
PACKAGES = ("supervision", "tensorboardX", "hotcoco")


def without(packages: tuple[str, ...], code: str) -> subprocess.CompletedProcess:
    """Runs code in a process that does not find the packages."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({packages!r})); from common.errors import run_command; "
    return subprocess.run([sys.executable, "-c", blocked + code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=4, seed=0, val_images=2)


@pytest.mark.parametrize(
    "module", ["predictor", "results", "results.drawing", "commands.sinks", "commands.train", "commands.evaluate"]
)
def test_a_module_alone_asks_for_none_of_them(module):
    done = without(PACKAGES, f"import common.{module}, common.evaluation.inference, weights_convert")
    assert done.returncode == 0, done.stderr


def test_results_without_pictures_need_nothing_to_draw():
    code = "from pathlib import Path; from common.commands.sinks import choose_sink; "
    code += "from common.results import INSTANCES as kind; "
    code += "choose_sink(kind, Path('out'), ['json'], True, False); choose_sink(kind, Path('x.json'), [], True, False)"
    assert without(PACKAGES, code).returncode == 0


def command(name: str, arguments: list) -> str:
    words = [str(argument) for argument in arguments]
    return f"from torch_impl.{name} import main; run_command(lambda: main({words!r}))"


def test_training_names_what_it_lacks(shapes, tmp_path):
    done = without(("tensorboardX",), command("train", ["yolact_tiny", "--data", shapes, "--output", tmp_path / "run"]))
    assert done.returncode == 2
    expected = "error: training needs tensorboardX, which is not installed: pip install tensorboardX\n"
    assert done.stderr == expected
    assert not (tmp_path / "run").exists()


def test_rating_names_what_it_lacks_before_anything_is_predicted(shapes):
    code = command("evaluate", ["yolact_tiny", "--data", shapes, "--weights", "none.safetensors"])
    done = without(("hotcoco",), code)
    assert done.returncode == 2
    assert done.stderr == "error: rating results needs hotcoco, which is not installed: pip install hotcoco\n"


def test_a_report_names_what_it_lacks_before_anything_is_read(tmp_path):
    words = ["yolact_tiny", "--data", tmp_path, "--weights", "none.safetensors", "--output", tmp_path, "--report"]
    done = without(("jinja2",), command("evaluate", words))
    assert done.returncode == 2
    assert done.stderr == "error: the page of a report needs jinja2, which is not installed: pip install jinja2\n"


@pytest.mark.parametrize("output", ["found.png", "folder"])
def test_drawing_names_what_it_lacks_before_anything_is_predicted(output, shapes, tmp_path):
    image = next(path for path in shapes.rglob("*.png"))
    arguments = ["yolact_tiny", "--weights", "none.safetensors", image, "--output", tmp_path / output]
    done = without(("supervision",), command("predict", arguments))
    assert done.returncode == 2
    assert done.stderr == "error: drawing needs supervision, which is not installed: pip install supervision\n"


def test_a_log_is_written_without_a_framework(tmp_path):
    code = "import sys; from pathlib import Path; from common.training.logs import RunLog; "
    code += f"log = RunLog(Path({str(tmp_path)!r}), 0); log.training(0, 0.1, {{'box': 1.0}}); log.close(); "
    code += "assert not {'torch', 'jittor', 'mindspore'} & sys.modules.keys()"
    done = without((), code)
    assert done.returncode == 0, done.stderr


def test_what_a_package_itself_lacks_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
        import_package("half_there", "half-there", "this")
    assert not isinstance(caught.value, MissingPackage)
