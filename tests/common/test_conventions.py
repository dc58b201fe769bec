"""The tables of docs/conventions.md against the record that code asks."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from common.families.mask_rcnn.conventions import CONVENTIONS, Convention

PAGE = (Path(__file__).parents[2] / "docs/conventions.md").read_text()
COLUMNS = {
    "mb": "maskrcnn_benchmark",
    "tv": "torchvision",
    "d2": "detectron2",
    "mmdet": "mmdetection",
    "mz": "mindspore_zoo",
}


def tables(page: str) -> list[list[list[str]]]:
    """Each table's rows of cells, the header first."""
    found = re.findall(r"^\|.*\|\n\|[ -|]*\|\n(?:\|.*\|\n)*", page, re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for k, row in enumerate(table.splitlines()) if k != 1]
        for table in found
    ]


def shown(page: str) -> dict[tuple[str, str], str]:
    """(field, convention) -> what the page shows; a column may stand for several conventions."""
    cells: dict[tuple[str, str], str] = {}
    for header, *rows in tables(page):
        for row in rows:
            field = re.match(r"`(\w+)`", row[0])
            if field is None:
                continue
            for title, cell in zip(header[1:], row[1:], strict=True):
                for name in set(title.split(", ")) & COLUMNS.keys():
                    key = (field[1], COLUMNS[name])
                    assert key not in cells, f"{key} stands twice"
                    cells[key] = cell
    return cells


def rendered(value: object) -> str:
    """A field's value as a cell shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(rendered, value))
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    return "none" if value is None else str(value)


def test_every_convention_has_its_column():
    assert set(COLUMNS.values()) == CONVENTIONS.keys()


def test_the_page_shows_every_field_as_it_is():
    expected = {
        (field.name, name): rendered(getattr(rules, field.name))
        for field in fields(Convention)
        for name, rules in CONVENTIONS.items()
    }
    assert shown(PAGE) == expected


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("| `offset`: what a side counts beyond x2 - x1 | 1 | 0 |", "| `offset`: what a side counts | 1 | 1 |"),
        ("| `pasting` | resized | resized | sampled | sampled | sampled inside |\n", ""),
        ("| `pasting` | resized", "| `pastin` | resized"),
        ("| 1e-6, 0 | 0, 1e-6 |", "| 1e-6, 0 | 1e-6, 0 |"),
    ],
)
def test_a_difference_is_seen(right, wrong):
    assert right in PAGE
    assert shown(PAGE.replace(right, wrong)) != shown(PAGE)


def test_code_asks_the_record_and_not_for_a_name():
    """An original's name stands, as a string, in no other file of the room than the record's own."""
    room = Path(__file__).parents[2] / "common/families/mask_rcnn"
    strays = [
        path.name
        for path in room.glob("*.py")
        if path.name != "conventions.py" and re.search(rf"([\"'])({'|'.join(CONVENTIONS)})\1", path.read_text())
    ]
    assert strays == []
