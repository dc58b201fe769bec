"""`python -m X_impl.predict`: instances in an image, a folder, a video or a camera's pictures."""

from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from common.commands.arguments import at_least, truth
from common.commands.wing import Parser, nms_overrides, trained_model
from common.config import Settings
from common.models import load_settings

if TYPE_CHECKING:
    from common.commands.media import Images, Video
    from common.families.pose2seg.keypoints_by_name import Keypoints
    from common.results import Classes, Parts
    from common.weights import Card

EXAMPLES = """
yolact_resnet50 --weights yolact_resnet50_54_800000.pth street.jpg --output out.png --score-threshold 0.15
yolact_resnet50 --weights w.safetensors street.jpg:out.png --top-k 15
yolact_resnet50 --weights w.safetensors photos --output found --save overlay,masks,npz
yolact_resnet50 --weights w.safetensors photos --output found.json
yolact_resnet50 --weights w.safetensors film.mp4 --output film_out.mp4
yolact_resnet50 --weights w.safetensors 0 --output camera.mp4
--trained_model=yolact_base_54_800000.pth --score_threshold=0.15 --top_k=15 --image=street.jpg:out.png
--config-file e2e_mask_rcnn_R_50_FPN_1x.yaml --weights model_final.pth street.jpg:out.png INPUT.MIN_SIZE_TEST 600
pose2seg --weights last.pkl street.jpg --keypoints keypoints_results.json --output out.png
"""


def main(framework: str, argv: Sequence[str] | None = None) -> None:
    parser = _parser(framework)
    arguments = parser.read(argv)
    arguments.overrides += nms_overrides(arguments)
    chosen = load_settings(arguments.model, arguments.overrides)
    by_keypoints = chosen.data_kind == "person_keypoints"
    if by_keypoints != bool(arguments.keypoints):
        parser.error(
            f"{chosen.model} finds persons by their key points: give --keypoints FILE"
            if by_keypoints
            else "--keypoints is for models that find persons by their key points"
        )

    from common.commands import media, sinks
    from common.families import family_of

    source, output = _source_and_output(parser, arguments)
    forms = arguments.save.split(",")
    kind = family_of(chosen).results(chosen)
    if unknown := set(forms) - set(kind.forms):
        parser.error(f"--save {min(unknown)}: there are {', '.join(kind.forms)}")
    is_video = isinstance(source, int) or source.suffix.lower() in media.VIDEO_SUFFIXES
    is_folder = not is_video and source.is_dir()
    sink = sinks.choose_sink(kind, output, forms, is_video or is_folder, is_video, _parts(arguments))
    # Opened before the model: what is wrong with the input shows at once.
    frames = media.Video(source) if is_video else media.Images(source, chosen.reads_upright)
    keypoints = _keypoints(parser, arguments, chosen, frames) if by_keypoints else None
    learner, settings, card = trained_model(framework, arguments)
    samples, count = family_of(settings).samples, 0
    # Ctrl-C is how one stops a camera; what was seen until then is kept.
    ending = suppress(KeyboardInterrupt) if isinstance(source, int) else nullcontext()
    with sink(_classes(card), frames.rate if is_video else 0.0) as write, ending:
        for name, image in frames:
            if keypoints is None:
                sample = samples.prepare(image, settings)
            else:
                points, scores = keypoints(name)
                sample = samples.prepare(image, points, settings) | {"person_score": scores}
            batch = samples.join([sample], settings)
            (found,) = learner.predict(batch, arguments.score_threshold)
            count += 1
            write(name, count, image, found.ranked(arguments.score_threshold, arguments.top_k))
    print(f"{count} {'frame' if is_video else 'image'}{'s' if count > 1 else ''}: {output}")
    if not is_video:
        frames.check()


def _classes(card: "Card") -> "Classes":
    """The card's; of one that does not tell their ids those of the data set that is known to have such classes."""
    from common.results import Classes
    from weights_convert.class_names import category_ids

    return Classes(card.classes, card.category_ids or category_ids(card.classes))


def _parts(arguments: Namespace) -> "Parts":
    from common.results import Parts

    return Parts(arguments.draw_masks, arguments.draw_boxes, arguments.draw_names, arguments.draw_scores)


def _keypoints(parser: Parser, arguments: Namespace, settings: Settings, frames: "Images | Video") -> "Keypoints":
    from common.commands.media import Images
    from common.families.pose2seg.keypoints_by_name import keypoints_by_name

    if not isinstance(frames, Images):
        parser.error("--keypoints knows images by their names; a video or a camera has none")
    return keypoints_by_name(arguments.keypoints, frames.names, settings.alignment.confidence)


def _source_and_output(parser: Parser, arguments: Namespace) -> tuple[Path | int, Path]:
    """What to look at, as a path or a camera's index, and where the answer goes; `in:out` says both."""
    words = [word for word in (arguments.input, arguments.image, arguments.images, arguments.video) if word]
    if len(words) != 1:
        parser.error("give one IMAGE, FOLDER, VIDEO or camera index" + (f", not {', '.join(words)}" if words else ""))
    source, output = words[0], arguments.output
    if ":" in source and not Path(source).exists():
        source, _, target = source.rpartition(":")
        output = output or Path(target)
    if output is None:
        parser.error("--output is missing")
    return (int(source) if source.isdecimal() and not Path(source).exists() else Path(source)), output


def _parser(framework: str) -> Parser:
    parser = Parser(
        framework,
        "predict",
        ["model", "input"],
        "MODEL --weights FILE INPUT --output PATH",
        "Finds instances in INPUT: an image, a folder of images, a video file, or a camera by its index (0 is the\n"
        "first; Ctrl-C ends it). INPUT:PATH says input and output in one word.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--weights", "--trained_model", type=Path, required=True, metavar="FILE", help="weights of any known format")
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="an image or video with the instances drawn in, .npz, .json (COCO results), or a folder",
    )
    add(
        "--save", default="overlay", metavar="FORMS", help="of overlay,masks,npz,json: what a folder gets of each image"
    )
    add("--score-threshold", "--score_threshold", type=float, default=0.15, metavar="S", help="default 0.15")
    add("--top-k", "--top_k", type=at_least(1), default=100, metavar="K", help="the best K of an image (default 100)")
    add("--keypoints", type=Path, metavar="FILE", help="Pose2Seg: persons' key points (COCO results or annotations)")
    for part in ("masks", "boxes", "names", "scores"):
        add(f"--draw-{part}", type=truth, default=True, metavar="BOOL", help=f"false: no {part} in what is drawn")
    add("--image", metavar="IN[:OUT]", help="INPUT under the name that YOLACT's own command gives it; likewise")
    add("--images", metavar="IN[:OUT]", help="a folder")
    add("--video", metavar="IN[:OUT]", help="a video file or a camera's index")
    parser.add_nms_options()
    parser.add_originals()
    return parser
