"""The page of all checks, rules and reasons, from the code that applies them.

`python -m exp_platform.report.reference > docs/checks-and-decisions.md`
"""

import sys

from exp_platform.checks.catalogue import CATALOGUE, CheckEntry
from exp_platform.decision.reasons import MEANINGS
from exp_platform.decision.rules import RULES

_HEAD = """\
# Checks and decisions

What is checked, by which rule, and what follows. Made from the code; a test compares.

## Checks

FAILED makes the verdict DO_NOT_USE, WARNED makes it CAUTION. A check that can fail and did
not run caps the verdict at CAUTION and blocks SHIP, where the design requires it."""


def render_reference() -> str:
    """The page as Markdown."""
    rules = "\n".join(f"- ({rule.letter}) {rule.words}" for rule in RULES)
    reasons = "\n".join(
        f"| `{reason.value}` | {words} |" for reason, words in MEANINGS.items()
    )
    parts = [
        _HEAD,
        *map(_entry, CATALOGUE.values()),
        f"## Decision rules, per arm, the first that matches\n\n{rules}",
        f"## Reasons\n\n| code | meaning |\n|---|---|\n{reasons}",
    ]
    return "\n\n".join(parts) + "\n"


def _entry(entry: CheckEntry) -> str:
    mark = " (can fail)" if entry.can_fail else ""
    return (
        f"### {entry.name}{mark}\n\nGuards against: {entry.protects_against}\n"
        f"{entry.rule}\n\n**What to do:** {entry.next_step}"
    )


if __name__ == "__main__":
    sys.stdout.write(render_reference())
