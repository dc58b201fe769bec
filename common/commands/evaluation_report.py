"""`evaluate --report`: what stands behind the figures, in metrics.json and as a page."""

import platform
from argparse import Namespace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.commands.parser import Parser
from common.config import Settings
from common.weights import file_sha256

if TYPE_CHECKING:
    from common.data.coco import CocoDataset
    from common.results import Breakdowns, Figures, ResultKind

FILE = "report.html"
_SHORT_HASH = 12  # digits
# Of the figures and of what the figures are made of.
_PACKAGES = ("triseg", "torch", "jittor", "mindspore", "numpy", "hotcoco", "pycocotools")


def check_report(parser: Parser, arguments: Namespace) -> None:
    """Refuses a report that nothing would be rated for, or that could not be written."""
    if not arguments.report:
        return
    for option in ("results_only", "benchmark"):
        if getattr(arguments, option):
            parser.error(f"--report is about figures, and --{option.replace('_', '-')} gives none")
    if not arguments.output:
        parser.error("--report writes a page: say where with --output DIR")
    from common.pages.templates import require_templates

    require_templates()


def describe_run(arguments: Namespace, learner: Any, settings: Settings, dataset: "CocoDataset") -> dict[str, str]:
    """The facts at the head of the page: what was rated, with what, and when; "run" is its title."""
    from common.evaluation.inference import evaluated_positions

    versions = {"Python": platform.python_version()} | {package: _version(package) for package in _PACKAGES}
    least, most = arguments.score_threshold, arguments.top_k
    counted = [f"a score above {least:g}"] * (least > 0) + [f"the best {most} of an image"] * (most is not None)
    facts = {
        "run": f"{settings.model} in {learner.framework} on {learner.device}",
        "weights": f"{arguments.weights}, sha256 {file_sha256(arguments.weights)[:_SHORT_HASH]}",
        "data": f"{len(evaluated_positions(dataset, settings))} images of {dataset.annotations}",
        "counted": " and ".join(counted),
        "settings": ", ".join(arguments.overrides),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    return {name: text for name, text in facts.items() if text}


def write_report(
    path: Path, kind: "ResultKind", note: str, figures: "Figures", breakdowns: "Breakdowns", facts: dict[str, str]
) -> None:
    """Writes the page of one data set. note: what the figures are of, where that has to be said."""
    from common.pages.evaluation import Evaluation, write_evaluation

    shown = {name: text for name, text in facts.items() if name != "run"}
    notes = [note] if note else []
    lines, headline = kind.lines(figures), kind.main_figures(figures)
    write_evaluation(path, Evaluation(facts["run"], shown, headline, lines, notes, breakdowns))


def _version(package: str) -> str:
    """The version of a package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
