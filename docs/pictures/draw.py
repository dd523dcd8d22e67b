"""What each page's picture shows; a function gets the names its example left."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from figures import Curve, Plot, Row, draw_days, draw_plot, draw_rows

Names = Mapping[str, Any]
Z = 1.959963984540054


def _row(label: str, row: Any, **more: Any) -> Row:
    return Row(label, row.difference, row.ci_lower, row.ci_upper, **more)


def _lift(label: str, row: Any, **more: Any) -> Row:
    ends = row.relative_lift, row.relative_ci_lower, row.relative_ci_upper
    return Row(label, *ends, **more)


def _normal(label: str, value: float, error: float, **more: Any) -> Row:
    return Row(label, value, value - Z * error, value + Z * error, **more)


def _dots(x: Sequence[float], rows: Sequence[Any], tone: str, words: str = "") -> Curve:
    return Curve(
        x,
        [row.difference for row in rows],
        tone,
        words,
        low=[row.ci_lower for row in rows],
        high=[row.ci_upper for row in rows],
        has_dots=True,
    )


def draw_ab(page: Names) -> str:
    """Lifts of the three metrics."""
    spend, pages = page["means"]
    rows = [
        _lift("bought", page["share"], note="share of visitors"),
        _lift("spend", spend, note="per visitor"),
        _lift("pages", pages, note="fewer is better", tone="better"),
    ]
    return draw_rows("Relative lift of the short checkout", rows, is_share=True)


def draw_ratios(page: Names) -> str:
    """The same difference with two errors."""
    rows = [
        _row("by user", page["row"], note="delta method"),
        _row("by order", page["naive"], note="wrong: not independent", tone="worse"),
    ]
    return draw_rows("Revenue per order in an A/A test, B - A", rows)


def draw_quantiles(page: Names) -> str:
    """The difference at many quantiles."""
    levels = [0.05, *(round(0.1 * i, 1) for i in range(1, 10)), 0.95]
    rows = []
    for q in levels:
        arms = [
            page["summarise_quantile"](("exp_demo", "load", name), v, q, units=u)
            for name, (u, v) in page["arms"].items()
        ]
        rows.append(page["estimate_quantile"](*arms, page["settings"]))
    return draw_plot(
        Plot(
            "Loading time: the new page against the old one, by quantile",
            (
                Curve(
                    levels,
                    [row.difference for row in rows],
                    low=[row.ci_lower for row in rows],
                    high=[row.ci_upper for row in rows],
                ),
                _dots(levels, rows, "good"),
            ),
            axis="quantile",
            unit="seconds, with 95 % intervals by user",
        )
    )


def draw_cuped(page: Names) -> str:
    """Raw, adjusted, and Lin's."""
    row = page["row"]
    raw_error = row.standard_error / row.details["variance_ratio"] ** 0.5
    rows = [
        _normal("raw", page["raw"], raw_error, note="no covariate"),
        _row("CUPED", row, note="two covariates"),
        _row("Lin", page["lin"], note="slopes of each arm"),
    ]
    return draw_rows("Spend per user, new - control; the true effect is 0.5", rows)


def draw_stratification(page: Names) -> str:
    """With and without strata."""
    rows = [_row("plain", page["plain"]), _row("post-stratified", page["row"])]
    return draw_rows("Spend per user, new - old; the true effect is 0.6", rows)


def draw_outliers(page: Names) -> str:
    """With and without the cap."""
    rows = [_row("as it is", page["plain"]), _row("top 0.1 % capped", page["capped"])]
    return draw_rows("Spend per user, new - old; there is no effect", rows)


def draw_clusters(page: Names) -> str:
    """Units, wrongly, and clusters."""
    row = page["row"]
    rows = [
        _normal("by unit", row.difference, page["naive"], note="wrong", tone="worse"),
        _row("by city", row, note="wild cluster bootstrap"),
    ]
    return draw_rows("Spend per customer, B - A; there is no effect", rows)


def draw_bayes(page: Names) -> str:
    """The posterior by the width of the prior."""
    rows = [
        Row(f"prior sd {100 * line['prior_sd']:.0f} %", line["lift"], line["ci_lower"], line["ci_upper"],
            note=f"beats control: {line['probability_to_beat']:.2f}")
        for line in page["row"].details["sensitivity"]
    ]  # fmt: skip
    return draw_rows(
        "Posterior of the relative lift by the prior's width", rows, is_share=True
    )


def draw_sequential(page: Names) -> str:
    """Repeated intervals and those of a sequence."""
    rows, sequence = page["rows"], page["sequence"]
    looks = [row.look for row in rows]
    return draw_plot(
        Plot(
            "The same experiment followed for ten days by two rules",
            (
                _dots([k - 0.12 for k in looks], rows, "good"),
                _dots([k + 0.12 for k in looks], sequence, "quiet"),
            ),
            axis="look; blue: group sequential, grey: confidence sequence",
            unit="difference with the interval that holds at every look",
        )
    )


def draw_multiplicity(page: Names) -> str:
    """Intervals alone and simultaneous."""
    from exp_platform import adjust

    alone, together = page["rows"], adjust(page["rows"], method="dunnett")
    rows = [
        row
        for one, wide in zip(alone, together, strict=True)
        for row in (
            _row(f"{one.treatment}, alone", one),
            _row(f"{one.treatment}, all together", wide),
        )
    ]
    return draw_rows("Clicks against the old headline: t and Dunnett", rows)


def draw_guardrails(page: Names) -> str:
    """Three sizes against the margin."""
    rows = [
        _lift(
            f"{n:,} per arm",
            row,
            note=str(one.status).lower().replace("_", "-"),
            margin=-0.02,
            tone="better" if one.status == "NON_INFERIOR" else "unclear",
        )
        for n, (row, one) in page["found"].items()
    ]
    return draw_rows(
        "Sessions per user, heavy - light, and the margin of 2 %",
        rows,
        is_share=True,
        note="dashed: the margin",
    )


def draw_heterogeneity(page: Names) -> str:
    """Effects by segment and the common one."""
    (found,) = page["assess_segments"](page["rows"])
    rows = [_row(row.segment.split("=")[1], row) for row in found.segments]
    errors = np.array([row.standard_error for row in found.segments])
    rows.append(_normal("common", found.common, float(1 / np.sqrt((errors**-2).sum()))))
    title = f"Spend per user by system: interaction p = {found.p_value:.2f}"
    return draw_rows(title, rows)


def draw_srm(page: Names) -> str:
    """The smallest p-value of the sequential test so far, beside the repeated one."""
    from exp_platform import check_srm

    e_values = np.maximum.accumulate(page["found"].e_values)
    days = list(range(1, len(e_values) + 1))
    once = [-np.log10(check_srm(look).p_value) for look in page["looks"]]
    return draw_plot(
        Plot(
            "Evidence against the planned split, day by day",
            (
                Curve(
                    days,
                    list(np.maximum(np.log10(e_values), 0)),
                    words="sequential",
                    at=0.72,
                    is_below=True,
                ),
                Curve(days, once, "quiet dashed", words="chi-square of the day"),
            ),
            axis="day",
            unit="zeros in 1 / p",
            levels=((3, "p = .001, an e-value of 1,000"),),
        )
    )


def draw_power(page: Names) -> str:
    """Power of both metrics over the number of units."""
    from exp_platform.stats.power import find_power

    units = np.linspace(5_000, 200_000, 79)
    curves = []
    for name, tone in (("goal", "good"), ("guardrail", "quiet")):
        metric = page[name]
        found = [
            find_power(metric.noise, metric.target, page["design"], n) for n in units
        ]
        curves.append(
            Curve(
                list(units / 1000),
                found,
                tone,
                words=metric.metric_name,
                at=0.42 if name == "goal" else 0.12,
                is_below=name == "goal",
            )
        )
    total = page["plan"].total
    return draw_plot(
        Plot(
            "Power of the goal and of the guardrail by the size of the experiment",
            tuple(curves),
            axis="units of both arms, thousands",
            unit="power",
            is_share=True,
            levels=((0.8, ""),),
            events=((total.n_total / 1000, f"{total.n_total:,} units: both at once"),),
            event_height=0.12,
        )
    )


def draw_did(page: Names) -> str:
    """Both arms before and after, and the counterfactual."""
    means = [
        (
            float(arm.pre.sum() / arm.units.sum()),
            float(arm.post.sum() / arm.units.sum()),
        )
        for arm in (page["control"], page["treatment"])
    ]
    (pre, post), (treated_pre, treated_post) = means
    counterfactual = treated_post - page["row"].difference
    return draw_plot(
        Plot(
            "What the treated shops changed more than the others",
            (
                Curve((0, 1), (pre, post), "quiet", words="old till", is_below=True),
                Curve((0, 1), (treated_pre, counterfactual), "good dashed",
                      words="new till, had it gone like the others"),
                Curve((0, 1), (treated_pre, treated_post), "good", words="new till"),
            ),
            axis="",
            unit="spend per customer",
            x_ticks=((0.02, "before"), (0.98, "after")),
            holds_zero=False,
        )
    )  # fmt: skip


def draw_event_study(page: Names) -> str:
    """Gaps day by day."""
    deltas = page["estimate_deltas"](page["control"], page["treatment"])
    return draw_days(
        "Gap between the arms against the day before the start", deltas, period="day"
    )


def draw_sensitivity(page: Names) -> str:
    """Robust intervals by how much steeper trends may get."""
    curves = []
    for (effect, found), tone in zip(
        page["bounds"].items(), ("good", "bad"), strict=True
    ):
        rows = found.relative_magnitudes
        shift = -0.015 if effect else 0.015
        curves.append(
            Curve(
                [row.bound + shift for row in rows],
                [found.estimate] * len(rows),
                tone,
                low=[row.lower for row in rows],
                high=[row.upper for row in rows],
                has_dots=True,
            )
        )
    return draw_plot(
        Plot(
            "Effects that remain possible when trends may diverge",
            tuple(curves),
            axis="Mbar, times as fast as before; blue: effect, no drift; "
            "orange: drift, no effect",
            unit="estimate with its robust 95 % interval",
        )
    )


def draw_staggered(page: Names) -> str:
    """Dynamic effects, with the truth."""
    rows = [row for row in page["found"].rows if row.method.endswith("dynamic")]
    at = [row.at for row in rows]
    since, cohort = page["since"], page["cohort"]
    truth = [
        float(page["effect"][(since == k) & np.isfinite(cohort)[:, None]].mean())
        for k in at
    ]
    return draw_plot(
        Plot(
            "Effect by time since treatment, over all cohorts",
            (
                Curve(at, truth, "quiet dashed", words="the truth"),
                Curve(
                    at,
                    [row.estimate for row in rows],
                    low=[row.ci_lower for row in rows],
                    high=[row.ci_upper for row in rows],
                    has_dots=True,
                ),
            ),
            axis="periods since treatment",
            unit="effect with 95 % interval",
            events=((-0.5, "treated"),),
        )
    )


def draw_synthetic(page: Names) -> str:
    """Texas against its mixture."""
    gaps = page["row"].details["gaps"]
    years = [int(gap["label"]) for gap in gaps]
    return draw_plot(
        Plot(
            "Texas less the mixture of states that it had followed",
            (Curve(years, [gap["gap"] / 1000 for gap in gaps]),),
            axis="year",
            unit="thousand prisoners",
            events=((1993, "prisons built"),),
            x_ticks=tuple((year, str(year)) for year in years[::3]),
        )
    )


def draw_panels(page: Names) -> str:
    """Every method that the panel allows."""
    names = {
        "callaway_santanna_simple": "Callaway-Sant'Anna",
        "callaway_santanna_group": "... by cohort first",
        "callaway_santanna_dynamic": "... by time since",
        "callaway_santanna_calendar": "... by year",
        "twfe": "two-way fixed effects",
    }
    rows = [
        _row(names[row.method], row, note=row.role.value)
        for row in page["found"]
        if row.is_ok and row.ci_lower is not None
    ]
    return draw_rows("Castle doctrine: log homicides, by every method", rows)


def draw_instrument(page: Names) -> str:
    """The offer's effect and the compliers'."""
    row = page["row"]
    details = row.details
    rows = [
        _normal(
            "offer",
            details["itt"],
            details["itt_standard_error"],
            note="intention to treat",
        ),
        _row("compliers", row, note="instrument"),
    ]
    return draw_rows("Spend per user; the true effect of the tour is 1.0", rows)


def draw_observational(page: Names) -> str:
    """Unadjusted and adjusted."""
    spend, adopted = page["spend"], page["adopted"]
    error = (
        sum(spend[side].var(ddof=1) / side.sum() for side in (adopted, ~adopted)) ** 0.5
    )
    notes = {"regression": "in each arm", "AIPW": "doubly robust"}
    raw = page["rows"][0].details["unadjusted_difference"]
    rows = [
        _normal("unadjusted", raw, error, note="wrong", tone="worse"),
        *(
            _row(name, row, note=note)
            for (name, note), row in zip(notes.items(), page["rows"], strict=True)
        ),
    ]
    return draw_rows("Spend, with - without the feature; the true effect is 0.5", rows)


DRAWINGS: dict[str, Callable[[Names], str]] = {
    "ab": draw_ab,
    "bayes": draw_bayes,
    "clusters": draw_clusters,
    "cuped": draw_cuped,
    "did": draw_did,
    "event-study": draw_event_study,
    "guardrails": draw_guardrails,
    "heterogeneity": draw_heterogeneity,
    "instrument": draw_instrument,
    "multiplicity": draw_multiplicity,
    "observational": draw_observational,
    "outliers": draw_outliers,
    "panels": draw_panels,
    "power": draw_power,
    "quantiles": draw_quantiles,
    "ratios": draw_ratios,
    "sensitivity": draw_sensitivity,
    "sequential": draw_sequential,
    "srm": draw_srm,
    "staggered": draw_staggered,
    "stratification": draw_stratification,
    "synthetic-control": draw_synthetic,
}
"""By page."""
