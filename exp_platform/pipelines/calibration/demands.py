"""What must be simulated, and which simulations do it."""

DEMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "each tail of a test has .025, not only both together",
        ("welch_normal", "ratio_delta", "cuped", "cluster_means", "did", "z_test"),
    ),
    (
        "p-values of continuous metrics are uniform",
        ("welch_normal", "ratio_delta", "cuped", "did", "event_study", "confounded"),
    ),
    (
        "A/A on revenue: balanced it holds, at 90 / 10 the platform warns; hall_t there",
        (
            "welch_revenue_200",
            "welch_revenue_2000",
            "welch_revenue_90_10",
            "welch_capped_90_10",
            "skewness_check_90_10",
        ),
    ),
    (
        "a ratio by the delta method; its events are refused as units",
        ("ratio_delta", "ratio_on_sessions"),
    ),
    ("CUPED at correlation .6 leaves .64 of the variance", ("cuped", "cuped_rows")),
    (
        "intervals of the relative lift, control mean known to 15 %",
        ("lift_noisy_control",),
    ),
    ("quantiles .5, .9 and .99 of 2,000 values", ("quantiles", "quantiles_of_events")),
    ("28 daily peeks at a fixed test", ("peeking_fixed",)),
    (
        "28 daily peeks, group sequential: .05, and .95 of the fixed test's power",
        ("spending_obrien_fleming", "group_sequential_power", "rule_power"),
    ),
    (
        (
            "28 peeks by confidence sequence: at most .02 at three tunings; a look after "
            "every unit; power at least .45 when tuned to the planned units"
        ),
        (
            "confidence_sequence_5000",
            "confidence_sequence_20000",
            "confidence_sequence_100000",
            "confidence_sequence_every_unit",
            "confidence_sequence_power",
        ),
    ),
    ("mSPRT under 28 peeks", ("msprt",)),
    (
        "sample ratio: at one look, peeked daily, by e-value, and power",
        ("srm_chi_square", "srm_daily", "srm_check", "srm_power", "srm_daily_power"),
    ),
    (
        "a flat prior's chance to win is a one-sided p; a proper prior keeps its word",
        ("bayes_flat_prior", "bayes_normal"),
    ),
    (
        "Benjamini and Hochberg, 80 without and 20 with an effect",
        ("benjamini_hochberg",),
    ),
    ("difference in differences under AR(1) .8, 50 clusters", ("did",)),
    (
        "10 clusters: bootstrap; 2 treated of 50: refused or permuted",
        ("wild_bootstrap_5_5", "did_two_treated", "cluster_means_5_5"),
    ),
    (
        "pre-trend tests: size with 100 and 20 an arm, power, bias given a passed test",
        (
            "pretrend_size_100",
            "pretrend_size_20",
            "pretrend_slope_0.05",
            "pretrend_slope_0.1",
        ),
    ),
    (
        "a drift of .02 sd a day is HOLDS in at most 20 %",
        ("pretrend_drift", "rule_drift"),
    ),
    (
        (
            "effects that grow and differ by cohort: two-way fixed effects are biased, "
            "Callaway and Sant'Anna cover"
        ),
        ("callaway_santanna", "group_time_averages"),
    ),
    (
        (
            "the rule, 3 goals and 3 guardrails, no effect: rolled back at most .05, shipped "
            "at most .025"
        ),
        ("rule_no_effect",),
    ),
    ("the same rule with three arms against one control", ("rule_three_arms",)),
    (
        "a guardrail at its margin ships at most .025",
        ("rule_guardrail_at_margin", "guardrail_under_looks", "guardrail_at_margin"),
    ),
    (
        "several goals under 28 looks, one true effect: at most .05 for the others",
        ("rule_one_true_effect", "holm_on_sequential_p"),
    ),
    (
        "units that have not matured are refused, all of them enrolled on day one",
        ("rule_day_one", "growing_values"),
    ),
    (
        "the end before the planned units, and after",
        (
            "rule_underrun",
            "rule_overrun",
            "group_sequential_underrun",
            "group_sequential_overrun",
        ),
    ),
    ("the verdict on clean experiments", ("verdict_clean", "verdict_uncorrected")),
    (
        "sizes are those of the whole decision",
        ("power_experiment", "power_daily_looks", "power_three_arms"),
    ),
    (
        "the power of a DiD and of a staggered roll-out is what `exp power` says",
        ("power_did", "power_staggered"),
    ),
)
"""By demand of METHODS section 7, or of the published experiment, the simulations."""
