"""Single rows of a run, with plausible numbers."""

import math
from datetime import UTC, datetime

from exp_platform.records import (
    CheckResult,
    CheckStatus,
    Covariate,
    Direction,
    Estimate,
    EstimateRole,
    EstimateStatus,
    LedgerStage,
    MethodChoice,
    MetricDefinition,
    MetricType,
    PretrendDelta,
    PretrendOutcome,
    PretrendTest,
)

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = datetime(2026, 3, 16, 6, 30, tzinfo=UTC)
CHECKOUT = "exp_checkout_button_001"


def make_estimate(metric, means, spreads, units, **fields):
    """Plain normal arithmetic, good enough for numbers that are only shown."""
    control, treatment = means
    error = math.sqrt(sum(sd**2 / n for sd, n in zip(spreads, units, strict=True)))
    difference = treatment - control
    lift_error = error / control
    z = difference / error
    values = {
        "experiment_id": CHECKOUT,
        "metric_name": metric,
        "method": "welch_t",
        "control": "control",
        "treatment": "treatment",
        "status": EstimateStatus.OK,
        "n_control": units[0],
        "n_treatment": units[1],
        "control_mean": control,
        "treatment_mean": treatment,
        "difference": difference,
        "standard_error": error,
        "ci_lower": difference - 1.96 * error,
        "ci_upper": difference + 1.96 * error,
        "relative_lift": difference / control,
        "relative_ci_lower": difference / control - 1.96 * lift_error,
        "relative_ci_upper": difference / control + 1.96 * lift_error,
        "relative_method": "delta",
        "p_value": math.erfc(abs(z) / math.sqrt(2)),
    }
    return Estimate(**{**values, **fields})


def make_check(name, message, value=None, threshold=None, **fields):
    values = {
        "experiment_id": CHECKOUT,
        "status": CheckStatus.PASSED,
        "reason": f"{name}_FINE",
        "value": value,
        "threshold": threshold,
    }
    return CheckResult(check_name=name, message=message, **{**values, **fields})


def make_definitions():
    return {
        "conversion": MetricDefinition(
            "conversion",
            1,
            MetricType.PROPORTION,
            Direction.INCREASE,
            "purchase",
            owner="checkout team",
            description="Bought at least once within seven days of exposure",
            window_days=7,
        ),
        "revenue": MetricDefinition(
            "revenue",
            3,
            MetricType.MEAN,
            Direction.INCREASE,
            "revenue",
            owner="finance",
            description="Money spent within seven days of exposure",
            window_days=7,
            cap=2000.0,
            covariate=Covariate("revenue", 14),
            unit_label="EUR",
        ),
        "page_load_time": MetricDefinition(
            "page_load_time",
            2,
            MetricType.RATIO,
            Direction.DECREASE,
            "load_ms",
            denominator="page_views",
            description="Time until a page can be used",
            unit_label="ms",
        ),
        "refund_rate": MetricDefinition(
            "refund_rate", 1, MetricType.PROPORTION, Direction.DECREASE, "refund"
        ),
        "sessions": MetricDefinition(
            "sessions", 1, MetricType.COUNT, Direction.INCREASE, "session"
        ),
    }


def make_deltas(metric, scale, effect):
    wobble = (0.4, -0.7, 0.2, 0.9, -0.3, -0.8, 0.5, 0.1, -0.4, 0.6, -0.2, 0.3, -0.5, 0)
    for day in range(-14, 7):
        delta = scale * wobble[day % 14] + (effect if day >= 0 else 0.0)
        is_reference = day == -1
        error = None if is_reference else scale * 0.9
        yield PretrendDelta(
            CHECKOUT,
            metric,
            "control",
            "treatment",
            day,
            "pre" if day < 0 else "post",
            0.0 if is_reference else delta,
            error,
            None if is_reference else delta - 1.8 * scale,
            None if is_reference else delta + 1.8 * scale,
            None if is_reference else math.erfc(abs(delta / scale / 0.9) / 1.4142),
            12_734,
            12_690,
            is_reference=is_reference,
        )


def make_pretrend(metric, outcome, size):
    return PretrendTest(
        CHECKOUT,
        metric,
        "control",
        "treatment",
        EstimateStatus.OK,
        outcome,
        n_pre_days=14,
        f_statistic=0.91,
        df_numerator=13,
        df_denominator=25_410.0,
        p_joint=0.541,
        slope=size / 30,
        slope_se=size / 20,
        p_slope=0.448,
        p_adjusted=0.896,
        bias=size / 3,
        tolerance=size,
        detectable_bias=size * (0.7 if outcome is PretrendOutcome.HOLDS else 1.9),
    )


def make_checks():
    return (
        make_check("KEYS", "All 25,861 units stand once.", 0.0, 0.001, can_fail=True),
        make_check("DUPLICATES", "210 of 184,220 rows (0.114 %).", 0.00114, 0.01),
        make_check(
            "SRM",
            "control 12,950, treatment 12,911 for a plan of 50 % / 50 %; p = 0.81.",
            0.0015,
            0.002,
            p_value=0.81,
            can_fail=True,
        ),
        make_check("SQL_TWIN", "6 of 6 rows agree.", 0.0, 1.0, can_fail=True),
        make_check(
            "CROSSOVER", "52 units (0.2 %) met both arms.", 0.002, 0.01, can_fail=True
        ),
        make_check(
            "PRE_PERIOD_BALANCE",
            "revenue before exposure differs by 0.04, p = 0.47.",
            0.47,
            0.001,
            subject="revenue",
            p_value=0.47,
            impact=0.03,
            impact_unit="revenue",
        ),
        make_check("QUARANTINE", "48 of 184,268 rows (0.026 %).", 0.00026, 0.01),
    )


def make_choices():
    primary, diagnostic = EstimateRole.PRIMARY, EstimateRole.DIAGNOSTIC
    return {
        "conversion": (
            MethodChoice(
                "two_proportion_z", True, primary, "RANDOMISED", "Randomised."
            ),
            MethodChoice(
                "cuped",
                False,
                None,
                "NO_COVARIATE_DECLARED",
                "The plan declares no covariate for this metric.",
            ),
            MethodChoice(
                "did_2x2",
                False,
                None,
                "EVER_METRIC",
                "A unit converts once, so there is no value per day to compare.",
            ),
        ),
        "revenue": (
            MethodChoice(
                "cuped", True, primary, "DECLARED", "The plan declares a covariate."
            ),
            MethodChoice(
                "did_2x2", True, diagnostic, "PRE_PERIOD", "There is a pre-period."
            ),
        ),
    }


def make_ledger(delivered):
    stages = ("exposed", "valid", "in_window", "not_bot", "in_analysis")
    return tuple(
        LedgerStage(stage, order, arm, units - lost)
        for arm, units in delivered.items()
        for order, (stage, lost) in enumerate(
            zip(stages, (0, 24, 180, 216, 216), strict=True)
        )
    )
