-- The fixed-horizon test of every comparison, written in SQL alone. Python computes the
-- same in analysis_results; the check SQL_TWIN compares the two. Tests and intervals here
-- are normal (suffix _z), Python's are t: df stands here only to be compared.
with comparisons as (

    select
        comparisons.*,
        case
            when (comparisons.is_clustered or not comparisons.is_ratio) and comparisons.reason = ''
                then comparisons.treatment_error / (comparisons.control_error + comparisons.treatment_error)
        end as treatment_part,
        -- the lift has no meaning on a baseline that is not positive
        case when comparisons.reason = '' and comparisons.control_mean > 0 then comparisons.control_mean end as baseline,
        experiments.alpha,
        quantiles.quantile
    from exp_run.int_comparisons as comparisons
    inner join exp_run.run_experiments as experiments
        on comparisons.experiment_id = experiments.experiment_id
    inner join exp_run.int_normal_quantiles as quantiles
        on comparisons.experiment_id = quantiles.experiment_id

),

lifts as (

    select
        *,
        difference / baseline as relative_lift,
        case when reason = '' then difference - quantile * standard_error end as ci_lower_z,
        case when reason = '' then difference + quantile * standard_error end as ci_upper_z,
        -- Fieller's set has two ends only where the control mean is distinguished from 0,
        -- and is one arm's own where the other does not vary
        case
            when
                power(quantile, 2) * control_error < power(baseline, 2)
                and control_error > 0
                and treatment_error > 1e-12 * (control_error + treatment_error)
                then power(quantile / baseline, 2)
        end as weight
    from comparisons

),

quadratics as (

    select
        *,
        1 - weight * control_error as curvature,
        relative_lift + weight * control_error as middle,
        -- a product of the ends of the difference's interval: both exclude 0, or none
        (ci_lower_z / baseline) * (ci_upper_z / baseline) as constant,
        sqrt(
            weight * (
                power(1 + relative_lift, 2) * control_error
                + treatment_error * (1 - weight * control_error)
            )
        ) as root
    from lifts

),

fieller as (

    select
        *,
        -- the root without cancellation; the other one is constant over middle +- root
        case when middle >= 0 then (middle + root) / curvature else (middle - root) / curvature end as far,
        constant / nullif(case when middle >= 0 then middle + root else middle - root end, 0) as near
    from quadratics

)

select
    fieller.experiment_id,
    fieller.metric_name,
    fieller.segment,
    fieller.control,
    fieller.treatment,
    fieller.reason,
    fieller.n_control,
    fieller.n_treatment,
    fieller.control_mean,
    fieller.treatment_mean,
    fieller.difference,
    fieller.standard_error,
    1 / (
        power(fieller.treatment_part, 2) / (fieller.n_independent_treatment - 1)
        + power(1 - fieller.treatment_part, 2) / (fieller.n_independent_control - 1)
    ) as df,
    fieller.statistic,
    tests.p_value_z,
    tests.p_value_z_adjusted,
    fieller.alpha,
    fieller.ci_lower_z,
    fieller.ci_upper_z,
    fieller.relative_lift,
    case when fieller.middle >= 0 then fieller.near else fieller.far end as relative_ci_lower_z,
    case when fieller.middle >= 0 then fieller.far else fieller.near end as relative_ci_upper_z,
    guardrails.noninferiority_z,
    guardrails.noninferiority_p_z
from fieller
left join exp_run.int_normal_tests as tests
    on
        fieller.experiment_id = tests.experiment_id
        and fieller.metric_name = tests.metric_name
        and fieller.segment = tests.segment
        and fieller.treatment = tests.treatment
left join exp_run.int_guardrail_tests as guardrails
    on
        fieller.experiment_id = guardrails.experiment_id
        and fieller.metric_name = guardrails.metric_name
        and fieller.segment = guardrails.segment
        and fieller.treatment = guardrails.treatment
order by fieller.metric_name, fieller.segment, fieller.treatment
