"""The memo as a reader gets it: order, completeness, safety, accessibility."""

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from exp_platform import report
from exp_platform.errors import ContractError
from exp_platform.records import CheckStatus, Variant
from exp_platform.report import render_memo

FIXTURES = ("shippable", "untrusted", "insufficient", "three_arms")
HEADINGS = (
    "1. Decision",
    "2. Can we trust it?",
    "3. Results",
    "4. Other methods on the same data",
    "5. Before the start",
    "6. Where units were lost",
    "7. How to reproduce this",
    "Appendix",
)
EVIL = "<script>alert('1')</script>"
VOID = {"meta", "wbr", "circle", "line", "path", "rect"}


class Outline(HTMLParser):
    """Tags, attributes and visible text of a page; fails on unbalanced tags."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            glue = self.tags[-1][0] == "wbr" and self.text
            self.text.append(self.text.pop() + data if glue else data)

    def visible(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(params=FIXTURES)
def facts(request):
    return request.getfixturevalue(request.param)


def rename(facts, name):
    """The same experiment with a hostile name wherever a name can stand."""
    estimates = tuple(
        replace(one, metric_name=name, treatment=name, segment=name, reason=name)
        if one.segment != "all"
        else replace(one, metric_name=name, treatment=name, reason=name)
        for one in facts.estimates
    )
    definition = replace(
        next(iter(facts.definitions.values())),
        name=name,
        description=name,
        unit_label=name,
        owner=name,
    )
    plan = replace(
        facts.spec.plan,
        metrics=(replace(facts.spec.plan.metrics[0], metric_name=name),),
    )
    return replace(
        facts,
        spec=replace(
            facts.spec,
            experiment_id=name,
            hypothesis=name,
            owner=name,
            plan=plan,
            variants=(Variant("control", 0.5), Variant(name, 0.5)),
        ),
        estimates=estimates,
        definitions={name: definition},
        choices={name: next(iter(facts.choices.values()))},
        checks=tuple(
            replace(one, subject=name, message=name, reason=name)
            for one in facts.checks
        ),
        decisions=tuple(
            replace(one, rationale=name, would_change=name, reasons=(name,))
            for one in facts.decisions
        ),
        deltas=tuple(
            replace(one, metric_name=name, treatment=name) for one in facts.deltas
        ),
        pretrends=tuple(
            replace(one, metric_name=name, treatment=name) for one in facts.pretrends
        ),
        ledger=tuple(
            replace(one, variant=name, stage=name + one.stage) for one in facts.ledger
        ),
        quarantine={name: 3},
        commands=(name,),
    )


def test_render_memo_answers_in_order(facts):
    memo = render_memo(facts)
    visible = Outline(memo.html).visible()
    for text in (memo.markdown, visible):
        places = [text.index(heading) for heading in HEADINGS]
        assert places == sorted(places)


def test_render_memo_same_facts_same_memo(facts):
    assert render_memo(facts) == render_memo(facts)


def test_render_memo_shows_every_check(facts):
    memo = render_memo(facts)
    visible = Outline(memo.html).visible().replace("\N{NO-BREAK SPACE}", " ")
    for check in facts.checks:
        assert check.message in visible
        assert check.message in memo.markdown
    worst_first = [
        visible.index(one.message)
        for status in (CheckStatus.FAILED, CheckStatus.NOT_RUN, CheckStatus.WARNED)
        for one in facts.checks
        if one.status is status
    ]
    assert worst_first == sorted(worst_first)


def test_render_memo_missing_numbers_never_look_like_numbers(facts):
    memo = render_memo(facts)
    for text in (memo.markdown, Outline(memo.html).visible()):
        assert not re.search(r"\b(nan|NaN|None|inf|null)\b", text)


def test_render_memo_without_estimates_gives_the_reason(insufficient):
    memo = render_memo(insufficient)
    visible = Outline(memo.html).visible()
    assert visible.count("too few units") >= 5
    assert "p < 0.001" not in memo.markdown
    section = memo.markdown.split("## 3. Results")[1].split("## 4.")[0]
    assert "0.0" not in section
    assert "+0" not in section


def test_render_memo_page_needs_nothing_else(facts):
    html = render_memo(facts).html
    names = Counter(tag for tag, _ in Outline(html).tags)
    assert names["script"] == names["link"] == names["img"] == 0
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<iframe", html)


@pytest.mark.parametrize(
    "name",
    [EVIL, "a|b", "`x`", "[l](javascript:x)", '"><svg onload=x>', "{{ 7 * 7 }}", "*s*"],
)
def test_render_memo_names_are_only_text(shippable, name):
    memo = render_memo(rename(shippable, name))
    page = Outline(memo.html)
    clean = Outline(render_memo(rename(shippable, "plain")).html)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    outside_code = re.sub(r"```.*?```", "", memo.markdown, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<[a-zA-Z/]", outside_code)
    for row in re.findall(r"^\|.*$", outside_code, flags=re.MULTILINE):
        assert row.endswith("|")


def test_render_memo_names_stay_themselves_in_markdown(shippable):
    entity, heading = (
        re.sub(r"```.*?```", "", page, flags=re.DOTALL)
        for page in (
            render_memo(rename(shippable, name)).markdown
            for name in ("a &lt; b", "# of orders")
        )
    )
    assert r"a \&lt; b" in entity
    assert not re.search(r"(?<!\\)&lt;", entity)
    assert r"- \# of orders" in heading
    assert not re.search(r"^- # ", heading, flags=re.MULTILINE)


def test_render_memo_page_is_accessible(facts):
    tags = Outline(render_memo(facts).html).tags
    names = [tag for tag, _ in tags]
    assert names.count("main") == names.count("h1") == 1
    assert tags[0] == ("html", {"lang": "en"})
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in tags:
        for label in attrs.get("aria-labelledby", "").split():
            assert label in ids


def test_render_memo_charts_are_images_with_words(shippable):
    page = Outline(render_memo(shippable).html)
    images = [attrs for tag, attrs in page.tags if attrs.get("role") == "img"]
    names = Counter(tag for tag, _ in page.tags)
    assert names["desc"] == len(images) == 6  # two plots in two widths, two studies
    assert "conversion: +30.8 %, interval 23.0 % to 38.7 %, better." in re.sub(
        r"\s+", " ", page.visible()
    )


def test_render_memo_untrusted_numbers_do_not_lead(untrusted):
    memo = render_memo(untrusted)
    lead = memo.markdown.split("## 2.")[0]
    assert "**not trusted**" in lead
    assert "**+30.8 %**" not in lead
    assert "Not trusted." in memo.markdown.split("## 3.")[1]


def test_render_memo_several_arms_are_named(three_arms):
    memo = render_memo(three_arms)
    visible = Outline(memo.html).visible()
    for arm in three_arms.spec.treatments:
        assert f"| {arm} | Ship it (SHIP) |" in memo.markdown
        assert f"visit, {arm}" in memo.markdown
        assert arm in visible
    assert "data without dates" in visible


def test_render_memo_without_decision_is_refused(shippable):
    with pytest.raises(ContractError, match="without any decision"):
        render_memo(replace(shippable, decisions=()))


def test_render_memo_document_carries_the_page(facts):
    memo = render_memo(facts)
    assert json.loads(json.dumps(memo.document, allow_nan=False)) == memo.document


def test_render_memo_colours_have_contrast():
    css = Path(report.__file__).with_name("templates").joinpath("memo.css").read_text()
    palettes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    ]
    assert len(palettes) == 3
    assert palettes[0] == palettes[2]
    for palette in palettes:
        for tone in ("go", "stop", "wait", "look"):
            assert contrast(palette[tone], palette[f"{tone}-tint"]) >= 4.5
            assert contrast(palette[tone], palette["paper"]) >= 4.5
            assert contrast(palette["quiet"], palette[f"{tone}-tint"]) >= 4.5
        for text in ("ink", "quiet", "good", "bad", "unclear", "margin"):
            assert contrast(palette[text], palette["paper"]) >= 4.5
        assert contrast(palette["axis"], palette["paper"]) >= 3


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2)."""
    lights = sorted(luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
