"""Converts a checkpoint between the originals' formats, the canonical one and the frameworks' own."""

import argparse
from pathlib import Path

from common.errors import UserError, run_command
from weights_convert.conversion import convert, formats, target_formats, write

_EXAMPLES = """examples:
  python -m weights_convert yolact_base_54_800000.pth yolact_base.safetensors
  python -m weights_convert yolact_base.safetensors yolact_base.ckpt
  python -m weights_convert yolact_base.safetensors back/yolact_base_54_800000.pth --to yolact
  python -m weights_convert e2e_mask_rcnn_R_50_FPN_1x.pkl mask_rcnn_r50_fpn.safetensors
  python -m weights_convert mask_rcnn_r50_fpn.safetensors back/model_final.pth --to maskrcnn_benchmark
  python -m weights_convert cascade_mask_rcnn_swin_tiny_patch4_window7.pth swin_t.safetensors
  python -m weights_convert swin_t.safetensors back/epoch_36.pth --to swin_detection
  python -m weights_convert last.pkl pose2seg.safetensors
  python -m weights_convert pose2seg.safetensors back/last.pkl --to pose2seg
  python -m weights_convert R-50.pkl backbone.safetensors --model mask_rcnn_r50_fpn
  python -m weights_convert resnet50-19c8e357.pth backbone.safetensors --model yolact_resnet50
"""


def main() -> None:
    """Runs the command: reads SOURCE, writes DEST and its card, and says what was converted."""
    arguments = _parser().parse_args()
    weights, card = convert(arguments.source, arguments.model, arguments.source_format)
    target_format = arguments.to or _find_format(arguments.dest, arguments.model or card.model)
    write(arguments.dest, weights, card, target_format, arguments.model)
    numbers = sum(array.size for array in weights.values())
    trained = f", iteration {card.iteration}" if card.iteration is not None else ""
    print(f"{arguments.source}: {card.model}{trained}, {len(weights)} arrays of {numbers / 1e6:.1f} M numbers")
    print(f"{arguments.dest}: written for {target_format}, read back and compared")


def _parser() -> argparse.ArgumentParser:
    sources = [name for name, each in formats().items() if each.read]
    targets = [name for name, each in formats().items() if each.write]
    parser = argparse.ArgumentParser(
        prog="python -m weights_convert",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    endings = ".pth .bin .pkl .ckpt .npz .safetensors"
    parser.add_argument("source", type=Path, metavar="SOURCE", help=f"a checkpoint; {endings}")
    parser.add_argument("dest", type=Path, metavar="DEST", help="the file to write; a card (.json) comes beside it")
    parser.add_argument("--model", help="the variant, where neither the card, the file's name nor its arrays tell")
    parser.add_argument("--from", dest="source_format", choices=sources, help="default: told by its keys")
    parser.add_argument("--to", choices=targets, help="default: told by DEST's ending")
    return parser


def _find_format(dest: Path, model: str) -> str:
    """The only format of a model's files that has the ending of `dest`."""
    formats = target_formats(model)
    fitting = [name for name, suffixes in formats.items() if dest.suffix in suffixes]
    if len(fitting) != 1:
        which = f"--to {' or --to '.join(fitting)}" if fitting else f"--to, one of {', '.join(formats)}"
        raise UserError(f"{dest}: its ending does not say the format; give {which}")
    return fitting[0]


if __name__ == "__main__":
    run_command(main)
