"""Section 2 of the memo: can we trust it, the worst check first."""

from dataclasses import dataclass
from itertools import groupby

from exp_platform.checks import numbers
from exp_platform.checks.catalogue import CATALOGUE, SKIPPED, Chance, title_check
from exp_platform.checks.wording import format_count, join_words
from exp_platform.records import CheckResult, CheckStatus, Verdict
from exp_platform.report.facts import MemoFacts
from exp_platform.report.words import (
    CHECK_STATUS_WORDS,
    VERDICT_TITLES,
)

_ANSWERS = {
    Verdict.TRUSTED: "Yes.",
    Verdict.CAUTION: "With care.",
    Verdict.DO_NOT_USE: "No.",
}
_DECLARED = (
    " That units were assigned at random was declared by the importer, not verified: "
    "the checks can contradict it, none of them can prove it."
)
_MEASURED_IN_P = {
    "BOTS_BY_ARM",
    "PRETREND",
    "PRE_PERIOD_BALANCE",
    "RATIO_DENOMINATOR",
}
_MEASURED_IN_SHARES = {
    "BOTS",
    "CROSSOVER",
    "MISSING_VALUES",
    "DUPLICATES",
    "KEYS",
    "LATE_DATA",
    "OUT_OF_WINDOW",
    "PRE_PERIOD_PRESENT",
    "QUARANTINE",
    "SRM",
    "SRM_BY_SEGMENT",
}
_SHARE_UNITS = {"share", "relative", "relative_lift", "rate"}
_GRAVITY = tuple(CATALOGUE)


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check in words."""

    title: str
    subject: str
    status: CheckStatus
    status_words: str
    message: str
    value: str
    threshold: str
    p: str
    impact: str
    reason: str
    protects_against: str
    next_step: str


@dataclass(frozen=True, slots=True)
class TrustSection:
    """The verdict, and every check under it."""

    verdict: Verdict
    title: str
    answer: str
    summary: str
    problems: tuple[CheckRow, ...]
    passed: tuple[CheckRow, ...]

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """What to do about which problems, each advice once."""
        about: dict[tuple[str, str], list[str]] = {}
        for row in self.problems:
            if row.next_step:
                about.setdefault((row.title, row.next_step), []).append(row.subject)
        return tuple(
            (": ".join(filter(None, (title, join_words(filter(None, subjects))))), step)
            for (title, step), subjects in about.items()
        )

    @property
    def passed_groups(self) -> list[list[CheckRow]]:
        """The passed checks by title, in order."""
        groups = groupby(self.passed, key=lambda row: row.title)
        return [list(rows) for _, rows in groups]


def describe_trust(facts: MemoFacts) -> TrustSection:
    """Sort the checks and say in one sentence what they add up to."""
    rows = [_describe(facts, one) for one in sorted(facts.checks, key=_rank)]
    return TrustSection(
        verdict=facts.verdict,
        title=VERDICT_TITLES[facts.verdict],
        answer=_ANSWERS[facts.verdict],
        summary=_summarise(rows) + (_DECLARED if facts.spec.is_declared_random else ""),
        problems=tuple(r for r in rows if r.status is not CheckStatus.PASSED),
        passed=tuple(r for r in rows if r.status is CheckStatus.PASSED),
    )


def _rank(check: CheckResult) -> tuple[int, int, str]:
    known = check.check_name in CATALOGUE
    gravity = _GRAVITY.index(check.check_name) if known else len(_GRAVITY)
    severity = {
        CheckStatus.FAILED: 0,
        CheckStatus.NOT_RUN: 1 if check.can_fail else 3,
        CheckStatus.WARNED: 2,
        CheckStatus.PASSED: 4,
    }
    return severity[check.status], gravity, check.subject


def _summarise(rows: list[CheckRow]) -> str:
    if not rows:
        return "No check was run."
    counts = {
        status: sum(row.status is status for row in rows) for status in CheckStatus
    }
    passed = (
        f"{counts[CheckStatus.PASSED]} of {format_count(len(rows), 'check')} passed"
    )
    others = [
        f"{counts[status]} {CHECK_STATUS_WORDS[status]}"
        for status in (CheckStatus.FAILED, CheckStatus.WARNED, CheckStatus.NOT_RUN)
        if counts[status]
    ]
    return ", ".join([passed, *others]) + "."


def _describe(facts: MemoFacts, check: CheckResult) -> CheckRow:
    entry = CATALOGUE.get(check.check_name)
    return CheckRow(
        title=title_check(check.check_name),
        subject=_name_subject(facts, check.subject),
        status=check.status,
        status_words=CHECK_STATUS_WORDS[check.status],
        message=check.message,
        value=_format_measure(check, check.value),
        threshold=_format_threshold(check),
        p="none" if check.p_value is None else numbers.format_p(check.p_value),
        impact=_format_impact(facts, check),
        reason=check.reason,
        protects_against=entry.protects_against if entry else "",
        next_step=_find_next_step(check),
    )


def _find_next_step(check: CheckResult) -> str:
    entry = CATALOGUE.get(check.check_name)
    if check.status is CheckStatus.NOT_RUN:
        must = " Until then nothing can be shipped." if check.can_fail else ""
        is_skipped = entry is None or not entry.when_absent or check.reason == SKIPPED
        step = "Run the step that makes this check."
        return f"{step if is_skipped or entry is None else entry.when_absent}{must}"
    return entry.next_step if entry else ""


def _format_measure(check: CheckResult, value: float | None) -> str:
    if value is not None and check.check_name in _MEASURED_IN_P:
        return numbers.format_p_phrase(value)
    if value is not None and check.check_name in _MEASURED_IN_SHARES:
        return numbers.format_measure(100 * value) + " %"
    return numbers.format_measure(value)


def _format_threshold(check: CheckResult) -> str:
    """The threshold in the scale of the rule, which is not always the measure's."""
    entry = CATALOGUE.get(check.check_name)
    if entry and entry.chance is Chance.SHARED and check.threshold is not None:
        return numbers.format_p_phrase(check.threshold)
    text = _format_measure(check, check.threshold)
    is_number = check.threshold is not None
    return f"{text} and p < 0.001" if is_number and check.check_name == "SRM" else text


def _name_subject(facts: MemoFacts, subject: str) -> str:
    """`metric:arm` in words; the arm only where there are several."""
    metric, _, arm = subject.rpartition(":")
    if not metric or arm not in facts.spec.treatments:
        return subject
    return f"{metric}, {arm}" if len(facts.spec.treatments) > 1 else metric


def _format_impact(facts: MemoFacts, check: CheckResult) -> str:
    if check.impact is None:
        return "none" if check.status is CheckStatus.PASSED else "not bounded"
    size = abs(check.impact)
    metric, _, rest = check.impact_unit.partition(" ")
    if metric in facts.definitions:
        what = rest if metric in check.subject else f"of {check.impact_unit}"
        text = numbers.format_size(facts.definitions[metric], size)
        return f"{text} {what}".rstrip()
    if check.impact_unit in _SHARE_UNITS:
        return numbers.format_percent(size)
    return f"{numbers.format_measure(size)} {check.impact_unit}".rstrip()
