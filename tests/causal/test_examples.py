"""The worked examples of docs/methods give the numbers that stand there."""

import doctest
from pathlib import Path

import pytest

METHODS = Path(__file__).parents[2] / "docs" / "methods"
PAGES = ("did", "clusters", "event-study", "staggered", "sensitivity")


@pytest.mark.parametrize("page", PAGES)
def test_worked_example_gives_what_it_shows(page):
    path = METHODS / f"{page}.md"
    # A closing fence would count as output.
    lines = path.read_text("utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, page, str(path), 0)
    assert test.examples
    found = doctest.DocTestRunner(verbose=False).run(test)
    assert found.failed == 0
