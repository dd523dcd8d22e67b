"""The decision memo: Markdown, HTML and JSON from one facts record."""

from exp_platform.report.facts import Memo, MemoFacts

__all__ = ["Memo", "MemoFacts"]
