"""A page's worked example, run: what it printed, and the names that it left."""

import doctest
from pathlib import Path
from typing import Any


def run_page(path: Path) -> tuple[int, dict[str, Any]]:
    """Run the examples of a page.

    Args:
        path: of the Markdown file.

    Returns:
        How many examples gave something else than what stands there, and the names
        after the last one.
    """
    # A closing fence would count as output.
    lines = path.read_text("utf-8").splitlines()
    text = "\n".join("" if line.startswith("```") else line for line in lines)
    test = doctest.DocTestParser().get_doctest(text, {}, path.stem, str(path), 0)
    found = doctest.DocTestRunner(verbose=False).run(test, clear_globs=False)
    return found.failed, test.globs
