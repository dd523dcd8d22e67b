"""The pages of docs/methods: examples give what stands there, pictures show it."""

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
METHODS = DOCS / "methods"
PAGES = sorted(path.stem for path in METHODS.glob("*.md") if path.stem != "README")
PARTS = ("Question", "Estimand", "Assumptions", "References")
# An overview of designs: each has a page with its own.
OVERVIEWS = {"panels"}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture
def pictures(monkeypatch):
    """The drawing scripts, imported as `make pictures` runs them."""
    monkeypatch.syspath_prepend(str(DOCS / "pictures"))
    return {name: importlib.import_module(name) for name in ("page", "draw")}


def test_every_page_has_a_picture(pictures):
    assert sorted(pictures["draw"].DRAWINGS) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_example_and_picture_are_up_to_date(name, pictures):
    n_failed, names = pictures["page"].run_page(METHODS / f"{name}.md")
    assert n_failed == 0
    drawn = pictures["draw"].DRAWINGS[name](names)
    committed = (DOCS / "images" / "methods" / f"{name}.svg").read_text("utf-8")
    hint = f"make pictures draws {name} again"
    assert NUMBER.sub("", drawn) == NUMBER.sub("", committed), hint
    # Positions have one decimal: the last digit of a sum may round the other way.
    found, expected = (
        [*map(float, NUMBER.findall(text))] for text in (drawn, committed)
    )
    assert found == pytest.approx(expected, abs=0.11), hint


@pytest.mark.parametrize("name", PAGES)
def test_page_says_what_it_has_to(name):
    text = (METHODS / f"{name}.md").read_text("utf-8")
    assert f"](../images/methods/{name}.svg)" in text
    if name not in OVERVIEWS:
        assert [part for part in PARTS if f"**{part}" not in text] == []
        assert "When it is refused" in text
        assert "Formula" in text
    assert f"]({name}.md)" in (METHODS / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_links_between_pages_lead_somewhere(name):
    text = (METHODS / f"{name}.md").read_text("utf-8")
    for target in re.findall(r"\]\(([\w/.-]+)\)", text):
        assert (METHODS / target).is_file(), target
