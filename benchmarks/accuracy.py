"""Trains the small variant of each family in each framework from one seed, and tables their figures side by side.

The sets are synthetic, with the kind of annotations that a model needs. Every framework trains and rates by its own
commands. A run that is finished in the output folder is not run again; one that was interrupted begins anew. OUT gets
accuracy.json, and each run's log is OUT/accuracy/MODEL/FRAMEWORK/log.jsonl.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import running
from benchmarks.frameworks import FRAMEWORKS, chosen_frameworks
from benchmarks.models import first_models, tiny_model
from benchmarks.tables import Table, about_this_run
from common.commands.arguments import at_least
from common.config import Settings
from common.errors import UserError, run_command
from common.families import family_of
from common.files import read_json, write_json
from common.models import load_settings

EXAMPLES = """
examples:
  python -m benchmarks.accuracy --output accuracy
  python -m benchmarks.accuracy --models yolact_tiny --frameworks torch,jittor --iterations 200 --output accuracy
"""
RUN = "run.json"  # in the folder of a run that is finished

COLUMNS_BEFORE = {"model": "model", "framework": "framework"}
COLUMNS_BEHIND = {
    "minutes": "minutes of training",
    "cpu_minutes": "processors' minutes",
    "agreement": "largest difference between frameworks, points",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    add = parser.add_argument
    add("--models", nargs="+", metavar="MODEL", help=f"default: {' '.join(small_models())}")
    add("--frameworks", type=chosen_frameworks, default=FRAMEWORKS, metavar="A,B", help="default: all three")
    add("--images", type=at_least(1), default=1000, help="training images of the synthetic set (default: %(default)s)")
    add("--iterations", type=at_least(1), help="training steps (default: the model's own schedule)")
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("accuracy_output"), metavar="OUT", help="default: %(default)s")
    arguments = parser.parse_args()
    models = {name: load_settings(name) for name in arguments.models or small_models()}
    facts = {"images": arguments.images, "iterations": arguments.iterations, "seed": arguments.seed}
    runs = []
    for name, settings in models.items():
        for framework in arguments.frameworks:
            runs.append(run_once(name, settings, framework, facts, arguments.output))
    table = make_table(runs, facts)
    print(table.markdown())
    print(f"\nwritten: {table.write(arguments.output)}")


def small_models() -> list[str]:
    """The small variants of all families whose records list variants."""
    return [tiny_model(model) for model in first_models()]


def run_once(name: str, settings: Settings, framework: str, facts: dict[str, Any], output: Path) -> dict[str, Any]:
    """Trains and rates a model in a framework, where that is not done yet -> what its `RUN` holds.

    facts: the images, iterations and seed, which a finished run has to have, too.
    """
    folder = output / "accuracy" / Path(name).stem / framework
    if (folder / RUN).is_file():
        run = read_json(folder / RUN)
        if run["facts"] != facts:
            raise UserError(f"{folder / RUN}: a run with {_words(run['facts'])}, not {_words(facts)}; name another OUT")
        return run
    # A run that was interrupted: its time is not known.
    shutil.rmtree(folder, ignore_errors=True)
    data = running.make_shapes(output / "data" / settings.data_kind, settings.data_kind, facts["images"], facts["seed"])
    steps = [] if facts["iterations"] is None else ["--iterations", facts["iterations"]]
    shared = [name, "--data", data, "--output", folder]
    # Rating takes time of its own, which is not the training's.
    cost = running.run_module(f"{framework}_impl.train", *shared, "--seed", facts["seed"], "--skip-test", *steps)
    running.run_module(f"{framework}_impl.evaluate", *shared, "--weights", folder / "weights.safetensors")
    figures = family_of(settings).results(settings).main_figures(read_json(folder / "metrics.json"))
    run = {"model": name, "framework": framework, "facts": facts, "figures": figures, **asdict(cost)}
    write_json(folder / RUN, run)
    return run


def make_table(runs: Sequence[dict[str, Any]], facts: dict[str, Any]) -> Table:
    """The table `accuracy` of what `run_once` gave: a row for each model and framework."""
    figures = list(dict.fromkeys(figure for run in runs for figure in run["figures"]))
    columns = COLUMNS_BEFORE | {figure: figure for figure in figures} | COLUMNS_BEHIND
    rows = []
    for run in runs:
        of_model = [other["figures"] for other in runs if other["model"] == run["model"]]
        kept = {key: run[key] for key in ("model", "framework", "minutes", "cpu_minutes")}
        rows.append(kept | run["figures"] | {"agreement": largest_difference(of_model)})
    about = about_this_run(
        data=f"synthetic sets of {facts['images']} training images and {max(1, facts['images'] // 5)} to rate on",
        training=f"seed {facts['seed']}, {facts['iterations'] or 'as many as the schedule says'} iterations",
        minutes="of the train command with its start and its workers, without the rating",
    )
    return Table("accuracy", "Small variants trained in the three frameworks", columns, rows, about)


def largest_difference(figures: Sequence[dict[str, float | None]]) -> float | None:
    """The largest difference, over all figures, between two runs of a model; None of a single run."""
    if len(figures) < 2:
        return None
    return max(max(values) - min(values) for values in _rated(figures))


def _rated(figures: Sequence[dict[str, float | None]]) -> Iterator[list[float]]:
    """The values of each figure in all runs; 0 where a run has none, because there was nothing to rate."""
    for figure in figures[0]:
        yield [each[figure] or 0.0 for each in figures]


def _words(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())


if __name__ == "__main__":
    run_command(main)
