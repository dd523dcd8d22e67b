from pathlib import Path

from exp_platform.report.reference import render_reference

PAGE = Path(__file__).parents[2] / "docs" / "checks-and-decisions.md"


def test_render_reference_is_the_page_in_the_docs():
    assert PAGE.read_text("utf-8") == render_reference()
