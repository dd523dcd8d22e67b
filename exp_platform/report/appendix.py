"""The memo's appendix: metric definitions, methods chosen and refused, glossary."""

import re
from dataclasses import dataclass

from exp_platform.metrics.wording import describe
from exp_platform.records import ExperimentSpec, MetricDefinition
from exp_platform.report.facts import MemoFacts
from exp_platform.report.words import (
    ESTIMATE_ROLE_WORDS,
    humanise,
    title_method,
)

_GLOSSARY = {
    "A/B": "the plain comparison of two arms, without any adjustment.",
    "Adjusted p": "the p-value after correction for looking at several: goals by Holm, "
    "segments by Benjamini and Hochberg.",
    "Arm": "one variant of the experiment; control is the baseline arm.",
    "Cap": "a value above which units count as that value.",
    "Compliers": "units that take the treatment when their arm offers it, and would not "
    "without.",
    "Control": "the arm that shows what happens without the change.",
    "Credible interval": "the range that holds the effect with the stated probability, "
    "if the prior is right.",
    "Covariate": "a value per unit from before its exposure, used to remove noise.",
    "Crossover": "a unit that met more than one arm; its first exposure counts.",
    "CUPED": "uses behaviour from before the exposure to make intervals narrower.",
    "Difference in differences": "the treated arm's change since before the start, "
    "less control's change (DiD).",
    "Event study": "a difference in differences for every single day or period.",
    "Goal": "a metric that should get better.",
    "Guardrail": "a metric that must not get worse by more than its margin.",
    "Harm test": "asks one-sided, and with an error rate of its own, whether a metric "
    "got worse: harm is called, and rolled back, on less than a proof of success takes.",
    "Interval": "the range of effects that fit the data at the stated confidence.",
    "Margin": "the largest harm to a guardrail that is still acceptable, set before.",
    "Monitor": "a metric that is watched but does not decide.",
    "p": "the chance of a difference at least this large if there were no effect.",
    "pp": "percentage points: the difference of two percentages.",
    "Pre-trend": "a difference between the arms in how they moved before the start.",
    "Prior": "what was believed about the effect before the data.",
    "Quarantine": "rows set aside at ingest because they break the contract.",
    "Relative lift": "the difference divided by control's mean. Its interval counts that "
    "control's mean is estimated too, and excludes 0 exactly when the difference's does.",
    "SRM": "sample ratio mismatch: the arms were not split as planned.",
    "Snapshot": "the state of a table at one instant, by which it can be read again.",
    "Units": "what is assigned to arms and analysed, for example users.",
}


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """One metric's definition in words."""

    name: str
    description: str
    kind: str
    computed: str
    version: str
    hash: str
    owner: str


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One method that was chosen or refused for a metric."""

    metric: str
    method: str
    is_chosen: bool
    role: str
    reason: str
    explanation: str


def describe_definitions(facts: MemoFacts) -> tuple[DefinitionRow, ...]:
    """One row per metric, in the order of the facts."""
    return tuple(
        _describe_definition(one, facts.spec) for one in facts.definitions.values()
    )


def describe_choices(facts: MemoFacts) -> tuple[ChoiceRow, ...]:
    """One row per metric and method, the chosen ones first."""
    return tuple(
        ChoiceRow(
            metric=metric_name,
            method=title_method(one.method),
            is_chosen=one.is_chosen,
            role=ESTIMATE_ROLE_WORDS[one.role] if one.role else "",
            reason=humanise(one.reason),
            explanation=one.explanation,
        )
        for metric_name, choices in facts.choices.items()
        for one in sorted(choices, key=lambda choice: not choice.is_chosen)
    )


def find_terms(text: str) -> tuple[tuple[str, str], ...]:
    """Glossary lines for the terms that a text uses."""
    return tuple(
        (term, meaning)
        for term, meaning in _GLOSSARY.items()
        if re.search(_pattern(term), text)
    )


def _pattern(term: str) -> str:
    """Whole words; an ordinary word in either case, an abbreviation as written."""
    first = f"[{term[0].upper()}{term[0].lower()}]" if term[1:].islower() else term[0]
    plural = "s?" if term[-1].islower() and len(term) > 2 else ""
    return rf"(?<!\w){first}{re.escape(term[1:])}{plural}(?!\w)"


def _describe_definition(
    definition: MetricDefinition, spec: ExperimentSpec
) -> DefinitionRow:
    return DefinitionRow(
        name=definition.name,
        description=definition.description,
        kind=f"{definition.type}, {definition.direction} is good",
        computed=_describe_computation(definition, spec),
        version=f"v{definition.version}",
        hash=definition.definition_hash,
        owner=definition.owner,
    )


def _describe_computation(definition: MetricDefinition, spec: ExperimentSpec) -> str:
    """Value, window, cap and covariates; what is the same for all metrics is left out."""
    if spec.panel is not None:
        return f"the delivered value of each unit and {spec.panel.word}"
    words = describe(definition)
    parts = [words["value"]]
    if "quantile" in words:
        parts.append(f"quantile {words['quantile']}")
    if spec.is_dated:
        parts.append(words["window"])
    if "cap" in words:
        parts.append(f"capped at {words['cap']}")
    if not spec.is_dated:
        names = [
            one.metric_name or definition.numerator for one in definition.covariates
        ]
        return "; ".join(parts + [f"covariate {name}, as delivered" for name in names])
    parts += [
        f"covariate {text}"
        for topic, text in words.items()
        if topic.startswith("covariate")
    ]
    return "; ".join(parts)
