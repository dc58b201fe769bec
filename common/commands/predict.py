"""`python -m X_impl.predict`: what a model finds in an image, a folder, a video or a camera's pictures."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from common.commands.arguments import at_least, truth
from common.commands.parser import Parser, model_arguments, prompt_file
from common.config import Settings
from common.data.class_names import category_ids
from common.families import family_of
from common.families.prompts import Prompt
from common.models import load_settings
from common.wing import Wing, open_model

if TYPE_CHECKING:
    from common.commands.media import Images, Video
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


def main(wing: Wing, argv: Sequence[str] | None = None) -> None:
    parser = _parser(wing)
    arguments = parser.read(argv)
    chosen = load_settings(arguments.model, arguments.overrides)
    _check_prompts(parser, arguments, chosen)
    if arguments.show_points and not family_of(chosen).chooses_points:
        parser.error(f"--show-points: {chosen.model} computes its masks as a whole, and chooses no points")

    from common.commands import media, sinks

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
    find_prompt = _prompt_finder(parser, arguments, chosen, frames)
    learner, settings, card = open_model(wing, *model_arguments(arguments))
    samples, count = family_of(settings).samples, 0
    # Ctrl-C is how one stops a camera; what was seen until then is kept.
    ending = suppress(KeyboardInterrupt) if isinstance(source, int) else nullcontext()
    with sink(_classes(card), frames.rate if is_video else 0.0) as write, ending:
        for name, image in frames:
            batch = samples.join([samples.prepare(image, settings) | find_prompt(name)], settings)
            (found,) = learner.predict(batch, arguments.score_threshold)
            count += 1
            write(name, count, image, found.ranked(arguments.score_threshold, arguments.top_k))
    print(f"{count} {'frame' if is_video else 'image'}{'s' if count > 1 else ''}: {output}")
    if not is_video:
        frames.check()


def _check_prompts(parser: Parser, arguments: Namespace, settings: Settings) -> None:
    """Refuses prompts that the model does not take, and their absence where it needs them."""
    parser.check_family(arguments, settings)
    family = family_of(settings)
    if family.prompts and not prompt_file(arguments, settings):
        parser.error(f"{settings.model} finds {family.finds}: give {family.prompts.option} FILE")


def _classes(card: "Card") -> "Classes":
    """The card's classes, with the ids that it tells or that the published data set of these classes has."""
    from common.results import Classes

    return Classes(card.classes, card.category_ids or category_ids(card.classes))


def _parts(arguments: Namespace) -> "Parts":
    from common.results import Parts

    drawn = arguments.draw_masks, arguments.draw_boxes, arguments.draw_names, arguments.draw_scores
    return Parts(*drawn, arguments.show_points)


def _prompt_finder(
    parser: Parser, arguments: Namespace, settings: Settings, frames: "Images | Video"
) -> Callable[[str], Prompt]:
    """A function: an image's name -> its prompt, which is empty where the model is told nothing beside an image."""
    from common.commands.media import Images

    prompts, path = family_of(settings).prompts, prompt_file(arguments, settings)
    if prompts is None:
        return lambda name: {}
    if not isinstance(frames, Images):
        parser.error(f"{prompts.option} knows images by their names; a video or a camera has none")
    return prompts.find_by_name(path, frames.names, settings)


def _source_and_output(parser: Parser, arguments: Namespace) -> tuple[Path | int, Path]:
    """Finds the input, a path or a camera's index, and the output's path; the word `in:out` gives both."""
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


def _parser(wing: Wing) -> Parser:
    parser = Parser(
        wing,
        "predict",
        ["model", "input"],
        "MODEL --weights FILE INPUT --output PATH",
        "Finds objects or panoptic segments in INPUT: an image, a folder of images, a video file, or a camera by its\n"
        "index (0 is the first; Ctrl-C ends it). INPUT:PATH says input and output in one word.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--weights", "--trained_model", type=Path, required=True, metavar="FILE", help="weights of any known format")
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="an image or video with what is found drawn in, .npz, .json (COCO results), or a folder",
    )
    add(
        "--save", default="overlay", metavar="FORMS", help="of overlay,masks,npz,json: what a folder gets of each image"
    )
    add("--show-points", action="store_true", help="draw the points that a model computes again at finer steps, too")
    add("--score-threshold", "--score_threshold", type=float, default=0.15, metavar="S", help="default 0.15")
    add("--top-k", "--top_k", type=at_least(1), default=100, metavar="K", help="the best K of an image (default 100)")
    parser.add_prompts()
    for part in ("masks", "boxes", "names", "scores"):
        add(f"--draw-{part}", type=truth, default=True, metavar="BOOL", help=f"false: no {part} in what is drawn")
    add("--image", metavar="IN[:OUT]", help="INPUT under the name that YOLACT's own command gives it; likewise")
    add("--images", metavar="IN[:OUT]", help="a folder")
    add("--video", metavar="IN[:OUT]", help="a video file or a camera's index")
    parser.add_originals()
    return parser
