"""The page of an evaluation needs nothing else, and says what is in the figures."""

import re
from dataclasses import replace

import pytest

from common.pages.evaluation import write_evaluation
from tests.common.pages.made_up_evaluation import NAMES, made_up_evaluation


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "deep/report.html"
    write_evaluation(path, made_up_evaluation())
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    return path.read_text()


def test_it_needs_nothing_else(page):
    assert not re.search(r"(src|href)=[\"'](?!#)", page) and "url(" not in page and "@import" not in page
    assert "http" not in page


def test_every_section_has_what_its_results_have(page):
    sections = re.split(r"<section>", page)[1:]
    heads = [re.findall(r"<h[23][^>]*>([^<]+)", section) for section in sections]
    instances = ["Kinds of error", "Precision over recall", "What objects are taken for", "Classes"]
    assert heads == [["Figures"], ["Box", *instances], ["Mask", *instances], ["Panoptic", "Classes"]]


def test_figures_are_in_words_and_nothing_is_a_dash(page):
    assert "<dd>31.2</dd>" in page and "<dd>–</dd>" in page
    assert re.search(r'<tr><th scope="row">person</th><td class="number">0</td><td class="number">–</td>', page)
    assert re.search(r'>traffic light</th><td class="number">7</td><td class="number">9.8</td>', page)


def test_names_are_text(page):
    assert "<b>dog" not in page and "&lt;b&gt;dog&lt;/b&gt;" in page


def test_the_most_frequent_confusion_is_named_first(page):
    assert "Most often mixed up: person as traffic light (9), " in page


def test_curves_begin_at_the_left_and_end_at_the_right(page):
    points = re.findall(r'points="([^"]+)"', page)
    assert len(points) == 20
    for line in points:
        places = [tuple(map(float, point.split(","))) for point in line.split()]
        assert len(places) == 101 and places[0][0] == 36 and places[-1] == (446, 288)


def test_classes_that_do_not_occur_are_not_in_the_confusions(tmp_path):
    made = made_up_evaluation()
    table = replace(made.breakdowns["box"].confusion, names=["a", "b", "nothing"], counts=[[2, 0, 1], [0] * 3, [0] * 3])
    breakdowns = {"box": replace(made.breakdowns["box"], confusion=table)}
    write_evaluation(tmp_path / "a.html", replace(made, breakdowns=breakdowns))
    found = re.search(r'<table class="confusion">.*?</table>', (tmp_path / "a.html").read_text(), re.DOTALL)[0]
    assert re.findall(r'<th scope="row"[^>]*>([^<]+)', found) == ["a", "nothing"]
    assert 'class="hit" style="--share:0.667">2<' in found and "Most often" not in (tmp_path / "a.html").read_text()
    assert NAMES[0] not in found
