"""Four experiments as a run would hand them to the memo."""

import math
from dataclasses import replace
from datetime import timedelta

from exp_platform.records import (
    AnalysisPlan,
    CheckStatus,
    Decision,
    Direction,
    Estimate,
    EstimateRole,
    EstimateStatus,
    ExperimentSpec,
    MetricDefinition,
    MetricPlan,
    MetricRole,
    MetricType,
    Outcome,
    PretrendOutcome,
    PretrendTest,
    Provenance,
    Variant,
    Verdict,
)
from exp_platform.report import MemoFacts
from tests.report.parts import (
    CHECKOUT,
    NOW,
    START,
    make_check,
    make_checks,
    make_choices,
    make_definitions,
    make_deltas,
    make_estimate,
    make_ledger,
    make_pretrend,
)


def make_shippable():
    units = (12_734, 12_690)
    yes = math.sqrt(0.1 * 0.9), math.sqrt(0.131 * 0.869)
    inside = {"noninferiority": {"is_noninferior": True, "p_value": 0.0002}}
    estimates = (
        make_estimate(
            "conversion", (0.1002, 0.1311), yes, units, p_value_adjusted=1.1e-13
        ),
        make_estimate(
            "revenue",
            (4.212, 4.684),
            (13.1, 13.6),
            units,
            method="cuped",
            p_value_adjusted=0.0048,
            details={"theta": 0.71, "variance_ratio": 0.672},
        ),
        make_estimate(
            "revenue",
            (4.188, 4.701),
            (16.0, 16.6),
            units,
            role=EstimateRole.SECONDARY,
        ),
        make_estimate(
            "revenue",
            (0.301, 0.338),
            (1.9, 1.95),
            units,
            method="did_2x2",
            estimand="ATT",
            period="post",
            role=EstimateRole.DIAGNOSTIC,
        ),
        make_estimate(
            "page_load_time", (812.4, 815.1), (410.0, 415.0), units, details=inside
        ),
        make_estimate(
            "refund_rate",
            (0.0212, 0.0214),
            (0.144, 0.145),
            units,
            details={"noninferiority": {"is_noninferior": True, "p_value": 0.021}},
        ),
        make_estimate("sessions", (3.41, 3.44), (4.1, 4.2), units),
        *(
            make_estimate(
                "conversion", means, yes, (units[0] // 2, units[1] // 2), segment=name
            )
            for name, means in (
                ("device=desktop", (0.112, 0.139)),
                ("device=mobile", (0.089, 0.124)),
            )
        ),
    )
    spec = ExperimentSpec(
        CHECKOUT,
        START,
        START + timedelta(days=14),
        START + timedelta(days=14),
        (Variant("control", 0.5), Variant("treatment", 0.5)),
        "control",
        AnalysisPlan(
            (
                MetricPlan("conversion", MetricRole.GOAL, mde=0.05),
                MetricPlan("revenue", MetricRole.GOAL, covariate=True),
                MetricPlan("page_load_time", MetricRole.GUARDRAIL, margin=0.02),
                MetricPlan("refund_rate", MetricRole.GUARDRAIL, margin=0.2),
                MetricPlan("sessions", MetricRole.MONITOR),
            ),
            segments=("device",),
        ),
        pre_period_days=14,
        owner="checkout team",
        hypothesis="A larger checkout button makes more visitors buy.",
    )
    return MemoFacts(
        spec=spec,
        decisions=tuple(
            Decision(
                CHECKOUT,
                arm,
                Outcome.SHIP,
                "d",
                Verdict.TRUSTED,
                ("GOAL_SUPERIOR",),
                "Conversion is higher by 30.8 % (22.9 % to 38.8 %), after correction "
                "for both goals, and no guardrail is worse than its margin allows.",
                "Evidence that page load time gets worse by more than 2 % would turn "
                "this into a roll-back.",
            )
            for arm in ("treatment", "")
        ),
        verdict=Verdict.TRUSTED,
        checks=make_checks(),
        estimates=estimates,
        definitions=make_definitions(),
        choices=make_choices(),
        deltas=(
            *make_deltas("conversion", 0.0011, 0.0041),
            *make_deltas("revenue", 0.031, 0.04),
        ),
        pretrends=(
            make_pretrend("conversion", PretrendOutcome.HOLDS, 0.0025),
            make_pretrend("revenue", PretrendOutcome.UNDERPOWERED, 0.02),
        ),
        ledger=make_ledger({"control": 12_950, "treatment": 12_911}),
        quarantine={"MISSING_USER_ID": 41, "VALUE_NOT_FINITE": 7},
        provenance=Provenance(
            run_id="run_20260316T063000_8f2c",
            code_version="0.1.0+fd06ccf",
            config_hash="2c9a5e10b7d4431f",
            definition_hash="9b1d44aa02c1e6f7",
            engine="duckdb",
            packages={"numpy": "2.4.1", "duckdb": "2.0.0", "pyiceberg": "0.12.0"},
            snapshots={"exposures": 5201937746216382911, "outcomes": 88213774621},
            digest="b5" * 32,
            seed=42,
        ),
        computed_at=NOW,
        commands=(
            f"python -m exp_platform.pipelines.write_memo --experiment-id {CHECKOUT}",
            "exp replay run_20260316T063000_8f2c",
        ),
    )


def make_untrusted():
    """Units leaked out of one arm: the numbers look good and must not be used."""
    facts = make_shippable()
    failed = make_check(
        "SRM",
        "control 12,950, treatment 11,402 for a plan of 50 % / 50 %, at most 6.36 % "
        "off; chi-square p < 0.0001 at the end.",
        0.0636,
        0.002,
        status=CheckStatus.FAILED,
        reason="SPLIT_OFF_PLAN",
        p_value=1e-22,
        impact=0.0132,
        impact_unit="conversion",
        can_fail=True,
    )
    warned = make_check(
        "LATE_DATA",
        "2.4 % of rows arrived more than 48 hours late.",
        0.024,
        0.01,
        status=CheckStatus.WARNED,
        reason="LATE_ROWS",
    )
    skipped = make_check(
        "SQL_TWIN",
        "The step that makes this check did not run.",
        status=CheckStatus.NOT_RUN,
        reason="SKIPPED",
        can_fail=True,
    )
    told = {"SRM", "SQL_TWIN"}
    passed = [one for one in facts.checks if one.check_name not in told]
    return replace(
        facts,
        verdict=Verdict.DO_NOT_USE,
        checks=(*passed, warned, skipped, failed),
        decisions=tuple(
            replace(
                one,
                outcome=Outcome.REVIEW,
                rule="a",
                verdict=Verdict.DO_NOT_USE,
                reasons=("SRM_FAILED",),
                rationale="The arms were not split as planned, so the estimates are "
                "not trusted whatever they say.",
                would_change="A repaired split and a new run of the experiment.",
            )
            for one in facts.decisions
        ),
        ledger=make_ledger({"control": 12_950, "treatment": 11_402}),
    )


def make_insufficient():
    """Forty units in each arm: nothing has a number."""
    facts = make_shippable()
    nothing = tuple(
        Estimate(
            CHECKOUT,
            one.metric_name,
            one.method,
            "control",
            "treatment",
            EstimateStatus.INSUFFICIENT_DATA,
            n_control=41,
            n_treatment=38,
            role=one.role,
            reason="TOO_FEW_UNITS",
        )
        for one in facts.estimates
        if one.segment == "all"
    )
    return replace(
        facts,
        verdict=Verdict.CAUTION,
        decisions=tuple(
            replace(
                one,
                outcome=Outcome.KEEP_RUNNING,
                rule="b",
                verdict=Verdict.CAUTION,
                reasons=("INSUFFICIENT_DATA", "NOT_COMPLETE"),
                rationale="Both arms have fewer than 100 units.",
                would_change="At least 100 units in each arm.",
            )
            for one in facts.decisions
        ),
        checks=(
            make_check(
                "MINIMUM_DATA",
                "treatment has 38 units, the plan asks for 100.",
                38.0,
                100.0,
                status=CheckStatus.WARNED,
                reason="TOO_FEW_UNITS",
            ),
        ),
        estimates=nothing,
        deltas=(),
        pretrends=(
            PretrendTest(
                CHECKOUT,
                "conversion",
                "control",
                "treatment",
                EstimateStatus.INSUFFICIENT_DATA,
                reason="TOO_FEW_UNITS",
            ),
        ),
        ledger=make_ledger({"control": 257, "treatment": 254}),
        quarantine={},
    )


def make_three_arms():
    """An e-mail test from a table without dates: two arms against no e-mail."""
    facts = make_shippable()
    control, arms = "No E-Mail", ("Mens E-Mail", "Womens E-Mail")
    numbers = {
        "visit": ((0.1062, 0.1828, 0.1514), (0.308, 0.386, 0.358)),
        "spend": ((0.6528, 1.4226, 1.0772), (11.6, 17.8, 15.1)),
    }
    estimates = tuple(
        make_estimate(
            metric,
            (means[0], means[1 + arm]),
            (spreads[0], spreads[1 + arm]),
            (21_306, 21_307 + 80 * arm),
            control=control,
            treatment=name,
            p_value_adjusted=1e-6,
        )
        for metric, (means, spreads) in numbers.items()
        for arm, name in enumerate(arms)
    )
    cuped = tuple(
        replace(
            one,
            method="cuped",
            role=EstimateRole.SECONDARY,
            details={"variance_ratio": 0.9996},
        )
        for one in estimates
        if one.metric_name == "spend"
    )
    spec = replace(
        facts.spec,
        experiment_id="hillstrom",
        variants=tuple(Variant(name, 1 / 3) for name in (control, *arms)),
        control=control,
        plan=AnalysisPlan(
            (MetricPlan("visit", MetricRole.GOAL), MetricPlan("spend", MetricRole.GOAL))
        ),
        unit_type="customer",
        is_dated=False,
        pre_period_days=0,
        owner="",
        hypothesis="An e-mail brings customers back to the shop.",
    )
    decision = facts.decisions[0]
    return replace(
        facts,
        spec=spec,
        decisions=(
            *(
                replace(decision, treatment=name, rationale=f"{name} lifts visits.")
                for name in arms
            ),
            replace(
                decision,
                treatment="",
                outcome=Outcome.REVIEW,
                rule="f",
                reasons=("SEVERAL_SHIPPABLE_ARMS",),
                rationale="Both e-mails may ship and the plan names no tie-break.",
                would_change="A tie-break metric in the plan.",
            ),
        ),
        estimates=estimates + cuped,
        definitions={
            "visit": MetricDefinition(
                "visit", 1, MetricType.PROPORTION, Direction.INCREASE, "visit"
            ),
            "spend": MetricDefinition(
                "spend",
                1,
                MetricType.MEAN,
                Direction.INCREASE,
                "spend",
                unit_label="USD",
            ),
        },
        choices={},
        deltas=(),
        pretrends=(),
        ledger=make_ledger(dict.fromkeys((control, *arms), 21_500)),
        quarantine={},
    )
