"""What several ranks agree on: threads stand for the processes, and a sum over all of them is taken at a barrier."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from common.commands import train
from common.data.check import check
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.evaluation.inference import predict_dataset
from common.families import family_of
from common.models import load_settings
from common.results import Instances
from common.training.ranks import gather_values, on_any_rank, take_share


class Ranks:
    """As many learners as there are ranks, which sum over one another."""

    def __init__(self, world):
        self.barrier = threading.Barrier(world, timeout=60)
        self.given = [None] * world
        self.learners = [Learner(self, rank) for rank in range(world)]

    def all(self, function):
        """What the function of a learner returns, by rank."""
        with ThreadPoolExecutor(len(self.learners)) as pool:
            return list(pool.map(function, self.learners))


class Learner:
    """Finds in each image one box, whose size tells the image."""

    framework, device = "fake", "cpu"

    def __init__(self, ranks, rank):
        self.ranks, self.rank, self.world = ranks, rank, len(ranks.given)

    def sum_over_ranks(self, array):
        assert array.dtype == np.float32 and array.ndim == 1
        self.ranks.given[self.rank] = array
        self.ranks.barrier.wait()
        total = np.sum(self.ranks.given, axis=0, dtype=np.float32)
        self.ranks.barrier.wait()
        return total

    def predict(self, inputs, score_threshold=0.0):
        return [found_in(size, image) for size, image in zip(inputs["original_size"], inputs["image"], strict=True)]


def found_in(size, image):
    height, width = size.tolist()
    side = 5 + abs(image).mean() * 10
    masks = np.zeros((2, height, width), bool)
    masks[0, 3:40, 3:30] = masks[1, 10:50, 20:90] = True
    boxes = np.float32([[3, 3, 3 + side, 40], [20, 10, 90, 10 + side]])
    return Instances((height, width), boxes, np.float32([0.9, 0.3]), np.array([1, 0]), masks)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_rank_hears_of_a_flag_on_one(world):
    ranks = Ranks(world)
    for raised in (None, *range(world)):
        assert (
            ranks.all(lambda learner, raised=raised: on_any_rank(learner, learner.rank == raised))
            == [raised is not None] * world
        )


@pytest.mark.parametrize("world", [1, 2, 3])
def test_values_of_all_ranks_are_gathered_on_each(world):
    values = [{"rank": rank, "text": "ü" * (5000 * rank), "number": 0.1 + rank} for rank in range(world)]
    ranks = Ranks(world)
    assert ranks.all(lambda learner: gather_values(learner, values[learner.rank])) == [values] * world


def test_a_message_may_be_longer_than_float32_counts(monkeypatch):
    plain = SimpleNamespace(compress=lambda message: message, decompress=lambda message: message)
    monkeypatch.setattr("common.training.ranks.zlib", plain)
    long = "x" * (2**24 - 1)  # and two quotation marks
    ranks = Ranks(2)
    first, second = ranks.all(lambda learner: gather_values(learner, long if learner.rank else "short"))
    assert first == second == ["short", long]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=7, seed=0, val_images=5)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_that_share_the_images_find_what_one_finds(world, shapes):
    """Also where there are more ranks than images."""
    settings, dataset = load_settings("yolact_tiny"), resolve(shapes, "val")
    family = family_of(settings)
    samples, kind = family.samples.Inference(dataset, settings), family.results(settings)
    expected = predict_dataset(Ranks(1).learners[0], settings, dataset, samples, kind, 2, 0)
    assert len({entry["image_id"] for entry in expected["box"]}) == 5
    ranks = Ranks(world)
    assert ranks.all(lambda learner: train._shared_results(learner, settings, dataset, 0)) == [expected] * world


def test_each_image_is_decoded_on_one_rank(tmp_path, monkeypatch):
    root = write_shapes(tmp_path / "shapes", images=7, seed=0, val_images=1)
    for path in sorted((root / "train").iterdir())[2:4]:
        path.write_bytes(b"no image")
    dataset = resolve(root, "train")
    decoded, image = [], type(dataset).image
    monkeypatch.setattr(type(dataset), "image", lambda self, place: decoded.append(place) or image(self, place))
    expected = check(dataset)
    assert sorted(decoded) == list(range(7)) and len(expected.usable) == 5
    decoded.clear()
    ranks = Ranks(3)
    found = ranks.all(lambda learner: check(dataset, inspect=lambda *given: train._inspect_images(learner, *given)))
    assert sorted(decoded) == list(range(7))
    for report in found:
        assert str(report) == str(expected) and np.array_equal(report.usable, expected.usable)


def test_a_share_is_every_so_many():
    ranks = Ranks(3)
    assert ranks.all(lambda learner: list(take_share(learner, range(7)))) == [[0, 3, 6], [1, 4], [2, 5]]
