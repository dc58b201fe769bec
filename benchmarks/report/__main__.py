"""`python -m benchmarks.report OUT`: one page of HTML on all that other commands have written into the folder OUT.

It shows the tables of figures (OUT/*.json), the ratings and the predictions of a model in each framework
(OUT/FRAMEWORK, as `X_impl.evaluate --output` writes them), the losses and predictions of trainings
(OUT/accuracy/MODEL/FRAMEWORK) and what `benchmarks.parity --output OUT/parity` found. The page needs nothing but
itself, and no network. It names the commands of what is not there.
"""

import argparse
from pathlib import Path

from benchmarks.report.page import check_packages, write_report
from common.commands.arguments import at_least
from common.errors import UserError, run_command

EXAMPLES = """
examples:
  python -m benchmarks.report demo_output
  python -m benchmarks.report results --data datasets/coco --images 60
"""
DEFAULT_DATA = "shapes"  # where benchmarks.demo has its data set
NAME = "report.html"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="OUT", help="the folder that other commands have written into")
    add("--data", type=Path, metavar="ROOT", help=f"the data set of OUT/FRAMEWORK; default: OUT/{DEFAULT_DATA}")
    add(
        "--images",
        type=at_least(1),
        default=24,
        metavar="N",
        help="images that are shown of a model; default: %(default)s",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the images among which they are chosen, of a large set")
    add("--output", type=Path, metavar="FILE", help=f"the page; default: OUT/{NAME}")
    arguments = parser.parse_args()
    folder = arguments.folder
    if not folder.is_dir():
        raise UserError(f"folder not found: {folder}")
    check_packages()
    path = arguments.output or folder / NAME
    write_report(folder, arguments.data or folder / DEFAULT_DATA, arguments.images, arguments.seed, path)
    print(f"report: {path}")


if __name__ == "__main__":
    run_command(main)
