"""Draw the pictures of docs/methods again: `make pictures`."""

import sys
from pathlib import Path

from draw import DRAWINGS
from page import run_page

DOCS = Path(__file__).resolve().parents[1]
METHODS, IMAGES = DOCS / "methods", DOCS / "images" / "methods"


def main() -> int:
    """Run every page's example and write its picture; 1 where an example has changed."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    n_failed = 0
    for name, draw in DRAWINGS.items():
        failed, names = run_page(METHODS / f"{name}.md")
        n_failed += failed
        if not failed:
            (IMAGES / f"{name}.svg").write_text(draw(names), "utf-8")
    return min(n_failed, 1)


if __name__ == "__main__":
    sys.exit(main())
