"""Tables take their places in a page, and nothing else of it changes."""

import sys

import pytest

from benchmarks.renew import main, renew
from benchmarks.tables import Table
from common.errors import UserError

TABLE = Table("speed", "Speed", {"model": "model", "ms": "time, ms"}, [{"model": "a", "ms": 1234.5}], {"date": "today"})
PAGE = """# Page

<!-- table: speed -->
old
<!-- /table -->
between
<!-- table: speed ms model -->
<!-- /table -->
<!-- table: other -->
kept
<!-- /table -->
end"""


def test_tables_are_put_in_place_and_the_rest_is_kept():
    text, renewed = renew(PAGE, {"speed": TABLE}, "page.md")
    assert renewed == ["speed", "speed"]
    assert text == (
        "# Page\n\n<!-- table: speed -->\n\n| model | time, ms |\n| --- | --- |\n| a | 1234 |\n\ndate: today.\n\n"
        "<!-- /table -->\nbetween\n<!-- table: speed ms model -->\n\n| time, ms | model |\n| --- | --- |\n"
        "| 1234 | a |\n\ndate: today.\n\n<!-- /table -->\n<!-- table: other -->\nkept\n<!-- /table -->\nend"
    )
    assert renew(text, {"speed": TABLE}, "page.md") == (text, renewed)


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("a\n<!-- table: speed -->\nb\n", "page.md: line 2: the table speed has no end, <!-- /table -->"),
        ("<!-- table: speed ns -->\n<!-- /table -->\n", "page.md: line 1: the table speed has no column ns: model, ms"),
    ],
)
def test_what_is_wrong_with_a_page_is_told(page, line):
    with pytest.raises(UserError, match=line):
        renew(page, {"speed": TABLE}, "page.md")


def test_the_command_renews_the_pages_that_it_is_given(tmp_path, monkeypatch, capsys):
    TABLE.write(tmp_path)
    (tmp_path / "page.md").write_text(PAGE)
    monkeypatch.setattr(sys, "argv", ["renew", str(tmp_path), str(tmp_path / "page.md")])
    main()
    assert capsys.readouterr().out == f"{tmp_path / 'page.md'}: speed, speed\n"
    assert "| a | 1234 |" in (tmp_path / "page.md").read_text()
    monkeypatch.setattr(sys, "argv", ["renew", str(tmp_path / "none")])
    with pytest.raises(UserError, match="has no table"):
        main()
