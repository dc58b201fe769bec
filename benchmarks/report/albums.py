"""What the page shows of predictions: panels of the truth, of each framework, and of the pixels that disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.kinds import KINDS, Annotated, Found, judge
from benchmarks.report.pictures import encode_photo, encode_pixels, middle, outline, rings
from benchmarks.report.scenes import Predictions, Scene

GOLDEN_ANGLE = 137.508  # degrees: the hues of classes that follow one another are far apart


@dataclass(frozen=True)
class Drawn:
    """An object as it is drawn.

    label: its class's number. name: what stands beside it. path: its outline as an SVG's path. place: x and y of its
    name. score: 1 in the truth. kind: see `kinds.py`; empty in the truth.
    """

    label: int
    name: str
    path: str
    place: tuple[float, float]
    score: float
    kind: str = ""
    crowd: bool = False


@dataclass(frozen=True)
class Panel:
    """What a framework finds in an image, the best last so that it lies on top.

    covered: for each annotated object the score of what covers it correctly, 0 where nothing does.
    """

    framework: str
    found: list[Drawn]
    covered: list[float]


@dataclass(frozen=True)
class Picture:
    """An image of the album. size: its (H, W). disagreement: the share of its pixels on which frameworks disagree."""

    number: int
    name: str
    size: tuple[int, int]
    photo: str
    annotated: list[Drawn]
    panels: list[Panel]
    differs: str
    rings: list[tuple[float, float, float]]
    disagreement: float
    pixels: int

    @property
    def height(self) -> int:
        return self.size[0]

    @property
    def width(self) -> int:
        return self.size[1]


@dataclass(frozen=True)
class Album:
    """The images of one model. hues: of the classes' colours, in degrees. total: the images of the whole data set.

    number: of the album in the page. model: its name; empty where the folder has the results of one model alone.
    """

    number: int
    model: str
    frameworks: list[str]
    class_names: list[str]
    hues: list[int]
    kinds: list[str]
    pictures: list[Picture]
    data: str
    total: int
    panoptic: bool


def make_album(number: int, model: str, predictions: Predictions, count: int, seed: int) -> Album:
    """The album of the images that disagree most."""
    names = list(predictions.dataset.class_names)
    scenes = predictions.scenes(count, seed)
    pictures = [_picture(place, scene, predictions, names) for place, scene in enumerate(scenes)]
    met = {drawn.kind for picture in pictures for panel in picture.panels for drawn in panel.found}
    return Album(
        number=number,
        model=model,
        frameworks=predictions.frameworks,
        class_names=names,
        hues=[round(GOLDEN_ANGLE * label + 10) % 360 for label in range(len(names))],
        # A crowd is no error, and most data sets have few of them.
        kinds=[kind for kind in KINDS if kind in met or kind != "crowd"],
        pictures=pictures,
        data=str(predictions.dataset.annotations),
        total=len(predictions.dataset),
        panoptic=predictions.panoptic,
    )


def _picture(number: int, scene: Scene, predictions: Predictions, names: Sequence[str]) -> Picture:
    dataset = predictions.dataset
    truth = [
        Drawn(each.label, _name(each, names), outline(each.mask), middle(each.mask), 1.0, crowd=each.crowd)
        for each in scene.annotated
    ]
    return Picture(
        number=number,
        name=dataset.file_name(scene.position),
        size=scene.differs.shape,
        photo=encode_photo(dataset.image(scene.position)),
        annotated=truth,
        panels=[_panel(framework, scene.annotated, found, names) for framework, found in scene.found.items()],
        differs=encode_pixels(scene.differs) if scene.differs.any() else "",
        rings=rings(scene.differs),
        disagreement=scene.disagreement,
        pixels=int(scene.differs.sum()),
    )


def _name(annotated: Annotated, names: Sequence[str]) -> str:
    return f"crowd of {names[annotated.label]}" if annotated.crowd else names[annotated.label]


def _panel(framework: str, annotated: Sequence[Annotated], found: Sequence[Found], names: Sequence[str]) -> Panel:
    kinds, covered = judge(annotated, found)
    drawn = [
        Drawn(
            each.label, f"{names[each.label]} {each.score:.2f}", outline(each.mask), middle(each.mask), each.score, kind
        )
        for each, kind in zip(found, kinds, strict=True)
    ]
    return Panel(framework, drawn[::-1], [score or 0.0 for score in covered])
