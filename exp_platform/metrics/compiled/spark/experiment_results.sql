-- The fixed-horizon test of every comparison, written in SQL alone. Python computes the
-- same in analysis_results; the check SQL_TWIN compares the two. Tests and intervals here
-- are normal (suffix _z), Python's are t: df stands here only to be compared.
with intervals as (

    select * from exp_run.int_interval_ends

)

select
    intervals.experiment_id,
    intervals.metric_name,
    intervals.segment,
    intervals.control,
    intervals.treatment,
    intervals.reason,
    intervals.n_control,
    intervals.n_treatment,
    intervals.control_mean,
    intervals.treatment_mean,
    intervals.difference,
    intervals.standard_error,
    intervals.df,
    intervals.statistic,
    tests.p_value_z,
    tests.p_value_z_adjusted,
    intervals.alpha,
    intervals.ci_lower_z,
    intervals.ci_upper_z,
    intervals.relative_lift,
    intervals.relative_ci_lower_z,
    intervals.relative_ci_upper_z,
    guardrails.noninferiority_z,
    guardrails.noninferiority_p_z
from intervals
left join exp_run.int_normal_tests as tests
    on
        intervals.experiment_id = tests.experiment_id
        and intervals.metric_name = tests.metric_name
        and intervals.segment = tests.segment
        and intervals.treatment = tests.treatment
left join exp_run.int_guardrail_tests as guardrails
    on
        intervals.experiment_id = guardrails.experiment_id
        and intervals.metric_name = guardrails.metric_name
        and intervals.segment = guardrails.segment
        and intervals.treatment = guardrails.treatment
order by intervals.metric_name, intervals.segment, intervals.treatment
