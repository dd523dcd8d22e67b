"""The examples of docs/api.md give what stands there, and leave no function out."""

import doctest
import re
from pathlib import Path

import exp_platform as xp

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_examples_give_what_they_show():
    # A closing fence would count as output.
    lines = PAGE.read_text("utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, "api", str(PAGE), 0)
    assert len(test.examples) > 50
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_every_public_name_is_on_the_page():
    text = PAGE.read_text("utf-8")
    called = set(re.findall(r"xp\.(\w+)\(", text))
    named = set(re.findall(r"`(\w+)`", text))
    assert set(xp.__all__) - {"__version__"} <= called | named
    stored = {"run", "refresh", "results", "check_results", "decisions", "interactions"}
    records = {"Estimate", "MetricTotals", "BetaPrior", "NormalPrior", "Design"}
    assert set(xp.__all__) - {"__version__"} - stored - records <= called


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\(([\w/.-]+)\)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / target).is_file(), target
