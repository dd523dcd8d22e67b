"""The decision memo: Markdown, HTML and JSON from one facts record."""

from exp_platform.report.facts import Memo, MemoFacts
from exp_platform.report.memo import render_memo

__all__ = ["Memo", "MemoFacts", "render_memo"]
