"""The memo: one facts record in, Markdown, HTML and JSON out; nothing is written."""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from exp_platform.checks import numbers
from exp_platform.decision.family import harm_level
from exp_platform.records import Verdict
from exp_platform.report.appendix import (
    ChoiceRow,
    DefinitionRow,
    describe_choices,
    describe_definitions,
    find_terms,
)
from exp_platform.report.arms import describe_arms
from exp_platform.report.beliefs import describe_beliefs
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.compliers import describe_compliers
from exp_platform.report.document import build_document
from exp_platform.report.facts import Memo, MemoFacts
from exp_platform.report.forest import (
    ForestChart,
    draw_forest,
    draw_segments,
    write_forest,
)
from exp_platform.report.gains import (
    MethodGroup,
    compare_methods,
    list_refusals,
)
from exp_platform.report.headline import Headline, describe_headline
from exp_platform.report.ledger import LedgerSection, describe_ledger
from exp_platform.report.looks import LookSection, describe_looks
from exp_platform.report.novelty import describe_novelty
from exp_platform.report.observational import describe_observational
from exp_platform.report.pretrends import PretrendView, describe_pretrends
from exp_platform.report.results import (
    ResultRow,
    describe_results,
    describe_segments,
    explain_results,
    format_level,
)
from exp_platform.report.segments import describe_interactions
from exp_platform.report.tails import describe_tails
from exp_platform.report.trust import TrustSection, describe_trust
from exp_platform.report.views import View

if TYPE_CHECKING:
    from jinja2 import Environment

_BLANK_LINES = re.compile(r"\n{3,}")
_NO_BREAK = "\N{NO-BREAK SPACE}"
_LOOSE_SPACE = re.compile(r"(?<=\d) (?=%|pp\b)|(?<=\bp) (?=[=<>])|(?<=[=<>]) (?=\d)")
_MARKDOWN_SYNTAX = re.compile(
    r"[\\`*\[\]|~]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|^#(?=#* )|(?<!\w)_|_(?!\w)"
)


@dataclass(frozen=True, slots=True)
class Page:
    """All sections in words and positions; the templates only lay them out."""

    headline: Headline
    trust: TrustSection
    looks: LookSection
    results: tuple[ResultRow, ...]
    unanswered: tuple[str, ...]
    observational: View | None
    segments: tuple[ResultRow, ...]
    forest: ForestChart | None
    segment_forest: ForestChart | None
    interactions: View | None
    views: tuple[View, ...]
    methods: tuple[MethodGroup, ...]
    refusals: tuple[tuple[str, str], ...]
    plain_metrics: tuple[str, ...]
    pretrends: tuple[PretrendView, ...]
    ledger: LedgerSection
    definitions: tuple[DefinitionRow, ...]
    choices: tuple[ChoiceRow, ...]
    level: str
    has_arms: bool
    is_untrusted: bool
    computed_at: str


def render_memo(facts: MemoFacts) -> Memo:
    """Answer decision, trust, results, methods, pre-trends, losses, reproduction.

    The same facts give the same bytes.
    """
    page = describe_page(facts)
    markdown = open_templates().get_template("memo.md.j2")
    body = markdown.render(page=page, facts=facts, glossary=())
    parts = {"page": page, "facts": facts, "glossary": find_terms(body)}
    return Memo(
        markdown=_BLANK_LINES.sub("\n\n", markdown.render(parts)),
        html=open_templates().get_template("memo.html.j2").render(parts),
        document=build_document(facts),
    )


def describe_page(facts: MemoFacts) -> Page:
    """Turn the facts into the words and positions that a memo shows."""
    comparisons = sort_comparisons(facts)
    has_arms, period = len(facts.spec.treatments) > 1, facts.spec.period_word
    observational = describe_observational(comparisons)
    results = describe_results(comparisons, period=period)
    methods = tuple(
        compare_methods(one, facts.choices.get(one.metric_name, ()), period=period)
        for one in comparisons
    )
    looks = describe_looks(comparisons, harm_level(facts.spec))
    return Page(
        headline=describe_headline(facts, comparisons, place=looks.place),
        trust=describe_trust(facts),
        looks=looks,
        results=tuple(row for row in results if not row.why_no_number),
        unanswered=() if observational else explain_results(results),
        observational=observational,
        segments=describe_segments(comparisons),
        forest=draw_forest(comparisons, has_arms=has_arms),
        segment_forest=draw_segments(comparisons, has_arms=has_arms),
        interactions=describe_interactions(comparisons),
        views=tuple(
            view
            for view in (
                describe_compliers(comparisons),
                describe_arms(comparisons),
                describe_beliefs(comparisons),
                describe_tails(comparisons),
                describe_novelty(comparisons),
            )
            if view is not None
        ),
        methods=tuple(one for one in methods if one.shown and not one.is_plain),
        refusals=list_refusals(methods),
        plain_metrics=tuple(
            dict.fromkeys(
                group.metric
                for one, group in zip(comparisons, methods, strict=True)
                # A look may have no number where all data so far have one.
                if group.is_plain and one.primary is not None and one.primary.is_ok
            )
        ),
        pretrends=describe_pretrends(facts),
        ledger=describe_ledger(facts),
        definitions=describe_definitions(facts),
        choices=describe_choices(facts),
        level=format_level(facts.spec.plan.alpha),
        has_arms=has_arms,
        is_untrusted=facts.verdict is Verdict.DO_NOT_USE,
        computed_at=numbers.format_instant(facts.computed_at),
    )


@cache
def open_templates() -> "Environment":
    """The templates of the memo and of its charts, with their filters."""
    from jinja2 import (
        Environment,
        PackageLoader,
        StrictUndefined,
        select_autoescape,
    )

    environment = Environment(
        loader=PackageLoader("exp_platform.report"),
        autoescape=select_autoescape(disabled_extensions=("md.j2",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["tidy"] = _keep_together
    environment.filters["name"] = _break_at_underscores
    environment.filters["plain"] = _escape_markdown
    environment.globals["write_forest"] = write_forest
    return environment


def _keep_together(text: object) -> str:
    """Hold a number and its unit, and a p and its value, on one line."""
    return _LOOSE_SPACE.sub(_NO_BREAK, str(text))


def _break_at_underscores(text: object) -> str:
    """Let a long name wrap where its words meet."""
    from markupsafe import Markup, escape

    return escape(text).replace("_", Markup("_<wbr>"))


def _escape_markdown(text: object) -> str:
    """Text that stays text in Markdown, in a table cell too; tags lose their start."""
    flat = " ".join(str(text).split())
    return _MARKDOWN_SYNTAX.sub(r"\\\g<0>", flat)
