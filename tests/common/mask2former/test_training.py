"""The matching and the losses of Mask2Former, with predictions made by hand, in NumPy."""

import itertools
import math

import numpy as np
import pytest

from common.families.mask2former import matching, training
from common.families.mask2former.matching import Segments, compute_costs, gather_segments, pair_up
from common.families.mask2former.points import Points
from common.families.mask2former.training import compute_losses
from common.models import load_settings
from common.points import ChosenPoints
from tests.wings.mask2former_batch import COUNTS, PADDED, training_batch

CLASSES, QUERIES, POINTS = 4, 6, 64
SMALL = [f"num_classes={CLASSES}", "things=2", f"losses.points={POINTS}", "network.decoder_layers=2"]


def settings_of(*overrides, queries=QUERIES):
    return load_settings("mask2former_r50", [*SMALL, f"network.queries={queries}", *overrides])


class Network:
    """A network that predicts of every image of a batch, by its number, what it always predicts of it."""

    def __init__(self, settings, logits=1.0):
        self.settings, self.logits = settings, logits

    def predictions(self, image, branch_scales=None):
        network, size = self.settings.network, [side // 4 for side in PADDED]
        made = []
        for number in range(network.decoder_layers + 1):
            drawn = [np.random.RandomState(int(1e6 * abs(each[0, 0, 0]) + number)) for each in image]
            classes = [each.standard_normal((network.queries, CLASSES + 1)) for each in drawn]
            masks = [each.standard_normal((network.queries, *size)) for each in drawn]
            made.append(tuple(np.float32(self.logits) * np.stack(x).astype(np.float32) for x in (classes, masks)))
        return made


def costs_of(settings, batch):
    predictions = Network(settings).predictions(batch["image"])
    segments = gather_segments(batch, batch["image"])
    return compute_costs(predictions, segments, Points(batch["host.seed"], settings.losses), settings.losses)


def read(mask, points):
    """A mask (h, w) at points (P, 2), by the formula, one after the other."""
    padded, values = np.pad(mask.astype(np.float64), 1), []
    for x, y in points.astype(np.float64) * mask.shape[::-1] + 0.5:  # the padding is a cell, whose middle is at 0
        left, top = math.floor(x), math.floor(y)
        near, far = padded[top, left : left + 2], padded[top + 1, left : left + 2]
        along = np.array([left + 1 - x, x - left])
        values.append((top + 1 - y) * near @ along + (y - top) * far @ along)
    return np.array(values)


def test_costs_by_the_formula_one_pair_after_the_other():
    settings, batch = settings_of(), training_batch(settings_of())
    found, predictions = costs_of(settings, batch), Network(settings).predictions(batch["image"])
    points = Points(batch["host.seed"], settings.losses)
    image, segment, query, layer = 2, 0, 4, 1
    at, number = points.of_images(layer)[image], COUNTS[0] + segment
    x, t = read(predictions[layer][1][image, query], at), read(batch["masks"][number], at)
    s = 1 / (1 + np.exp(-x))
    entropy = np.mean(-t * np.log(s) - (1 - t) * np.log(1 - s))
    dice = (2 * np.sum(s * t) + 1) / (np.sum(s) + np.sum(t) + 1)
    scores = np.exp(predictions[layer][0][image, query].astype(np.float64))
    probability = (scores / scores.sum())[batch["host.labels"][number]]
    expected = 5 * entropy + 5 * (1 - dice) - 2 * probability
    assert found[layer][image].shape == (QUERIES, COUNTS[image])
    assert found[layer][image][query, segment] == pytest.approx(expected, rel=1e-5)
    assert found[layer][1].shape == (QUERIES, 0)


@pytest.mark.parametrize(("queries", "segments"), [(6, 4), (3, 5), (1, 1), (1, 3), (4, 4)])
def test_the_pairs_of_an_image_cost_least(queries, segments):
    costs = np.random.RandomState(queries).standard_normal((queries, segments)).astype(np.float32)
    batch = Segments(np.zeros(0), np.zeros(segments, np.int32), [segments])
    own, asked = np.divmod(pair_up([costs], batch).cells, queries)
    assert (np.diff(own) > 0).all() and len(set(asked)) == min(queries, segments)
    best = min(
        sum(costs[query, segment] for query, segment in zip(chosen, given, strict=True))
        for chosen in itertools.permutations(range(queries), min(queries, segments))
        for given in itertools.combinations(range(segments), min(queries, segments))
    )
    assert costs[asked, own].sum() == pytest.approx(best, rel=1e-6)


def test_pairs_are_numbered_through_the_batch():
    """Of two images the second one's segment 1, the batch's 3, has the query 0, the batch's 2."""
    costs = [np.array([[0, 9], [9, 0]], np.float32), np.array([[9, 0], [0, 9]], np.float32)]
    pairs = pair_up(costs, Segments(np.zeros(0), np.zeros(4, np.int32), [2, 2]))
    assert [tuple(map(int, divmod(cell, 4))) for cell in pairs.cells] == [(0, 0), (1, 1), (2, 3), (3, 2)]


def test_terms_of_a_network_that_knows_nothing():
    """A fair coin costs log 2, equal classes log 5; of P halves and t true points dice is (t + 1) / (P / 2 + t + 1)."""
    settings, batch = settings_of(), training_batch(settings_of())
    terms = compute_losses(Network(settings, logits=0.0), batch)
    assert list(terms) == list(settings.loss_terms())
    for ending in ("", "_0", "_1"):
        assert terms[f"classes{ending}"] == pytest.approx(2 * np.log(CLASSES + 1), rel=1e-5)
        assert terms[f"masks{ending}"] == pytest.approx(5 * np.log(2), rel=1e-5)
    drawn = Points(batch["host.seed"], settings.losses).of_pairs(2, COUNTS)
    # Of equals the first candidates are taken.
    points = np.concatenate([drawn[0][:, : settings.losses.unsure], drawn[1]], axis=1)
    true = np.array([read(mask, at).sum() for mask, at in zip(batch["masks"], points, strict=True)])
    expected = 5 * np.mean(1 - (true + 1) / (POINTS / 2 + true + 1))
    assert terms["dice"] == pytest.approx(expected, rel=1e-5)


def test_only_queries_of_segments_know_more_than_no_object():
    """All queries say class 0; the weights are 1 for the one that has the segment and 0.1 for the other five."""
    settings = settings_of("losses.no_object_weight=0.1")
    batch = training_batch(settings, (0,), (1,))
    network = Network(settings, logits=0.0)
    made = network.predictions(batch["image"])
    for classes, _ in made:
        classes[..., 0] = 1.0
    network.predictions = lambda image, branch_scales=None: made
    right, wrong = -np.log(np.e / (np.e + CLASSES)), -np.log(1 / (np.e + CLASSES))
    expected = 2 * (right + 0.5 * wrong) / 1.5
    assert compute_losses(network, batch)["classes"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("split", [((0, 1), (2,)), ((2, 0), (1,))], ids=["segments on both", "on one"])
@pytest.mark.parametrize("queries", [QUERIES, 2, 1])
def test_ranks_with_different_numbers_of_images_see_what_one_sees(queries, split):
    """With few queries some segments have none."""
    settings = settings_of(queries=queries)
    whole = training_batch(settings)
    shared = {name: whole[name] for name in whole if name.startswith("normaliser.")}
    network = Network(settings)
    of_ranks = [compute_losses(network, training_batch(settings, images) | shared) for images in split]
    terms = compute_losses(network, whole)
    assert (of_ranks[1]["masks"] == 0) == (split[1] == (1,)) and of_ranks[1]["classes"] > 0
    for name in terms:
        assert sum(each[name] for each in of_ranks) == pytest.approx(terms[name], rel=1e-5), name


def test_a_batch_without_segments_trains_the_classes_alone():
    settings = settings_of()
    terms = compute_losses(Network(settings), training_batch(settings, (0, 1), (0, 0)))
    for name, term in terms.items():
        assert term > 0 if name.startswith("classes") else term == 0, name
    free = settings_of("losses.no_object_weight=0.0")
    assert compute_losses(Network(free), training_batch(free, (0, 1), (0, 0)))["classes"] == 0


@pytest.mark.parametrize(("part", "value"), [(0, np.nan), (1, np.nan), (1, np.inf), (1, -np.inf)])
def test_a_logit_that_is_no_number_spoils_the_losses_and_nothing_else(part, value):
    settings, batch = settings_of(), training_batch(settings_of())
    network = Network(settings)
    made = network.predictions(batch["image"])
    made[1][part][0, 3] = value
    network.predictions = lambda image, branch_scales=None: made
    with np.errstate(invalid="ignore"):
        terms = compute_losses(network, batch)
    assert not all(np.isfinite(list(terms.values())))


def test_a_step_goes_on_with_the_choices_that_it_is_given():
    settings, batch = settings_of(), training_batch(settings_of())
    own = {}

    def keep(name, choice):
        own[name] = choice
        return choice

    terms = compute_losses(Network(settings), batch, keep)
    assert list(own) == ["pairs", "points_0", "points_1", "points"]

    def change(name, choice):
        if name == "points_1":
            return ChosenPoints(choice.rows[::-1].copy())  # the points of other pairs
        return [choice[0], own["pairs"][0], choice[2]] if name == "pairs" else choice

    changed = compute_losses(Network(settings), batch, change)
    assert {name for name in terms if changed[name] != terms[name]} == {"classes_1", "masks_1", "dice_1"}


def test_the_unsurest_candidates_are_taken():
    settings, batch = settings_of(), training_batch(settings_of())
    segments = gather_segments(batch, batch["image"])
    _, logits = Network(settings).predictions(batch["image"])[0]
    pairs = matching.Pairs(np.array([2, 3 * QUERIES + 4], np.int32))
    drawn = Points(batch["host.seed"], settings.losses).of_pairs(0, [2, 0, 0])
    points, read_logits, _ = training.read_pairs(logits, pairs, segments, drawn, settings.losses.unsure, lambda x: x)
    for row, query in enumerate((2, 4)):
        sureness = np.abs(read(logits[0, query], drawn[0][row]))
        limit = np.sort(sureness)[settings.losses.unsure - 1]
        assert np.abs(read_logits[row, : settings.losses.unsure]).max() == pytest.approx(limit, rel=1e-4)
        np.testing.assert_array_equal(points[row, settings.losses.unsure :], drawn[1][row])
    assert points.shape == (2, POINTS, 2)


def test_an_image_has_the_same_points_in_every_batch():
    settings = settings_of().losses
    both, alone = Points(np.array([5, 6]), settings), Points(np.array([6]), settings)
    np.testing.assert_array_equal(both.of_images(1)[1:], alone.of_images(1))
    for whole, own in zip(both.of_pairs(1, [2, 3]), alone.of_pairs(1, [3]), strict=True):
        np.testing.assert_array_equal(whole[2:], own)
    drawn = [both.of_images(0), both.of_images(1), *both.of_pairs(0, [1, 1]), *both.of_pairs(1, [1, 1])]
    assert len({array.ravel()[0] for array in drawn}) == len(drawn)
    candidates, fresh = both.of_pairs(0, [1, 1])
    assert candidates.shape == (2, 3 * POINTS, 2) and fresh.shape == (2, POINTS // 4, 2)
    assert candidates.min() >= 0 and candidates.max() < 1 and candidates.dtype == np.float32
