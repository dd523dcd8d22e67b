{{ config(materialized='view') }}
-- Ends of the difference and of the relative lift of every comparison, both normal. The
-- lift's are Fieller's: the ratios that the difference, moved by them, does not reject.
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
    from {{ ref('int_comparisons') }} as comparisons
    inner join {{ input('run', 'run_experiments') }} as experiments
        on comparisons.experiment_id = experiments.experiment_id
    inner join {{ ref('int_normal_quantiles') }} as quantiles
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
        sqrt(weight * (
            power(1 + relative_lift, 2) * control_error + treatment_error * (1 - weight * control_error)
        )) as root
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
    experiment_id, metric_name, segment, control, treatment, reason, n_control, n_treatment,
    control_mean, treatment_mean, difference, standard_error, statistic, alpha, ci_lower_z,
    ci_upper_z, relative_lift,
    1 / (
        power(treatment_part, 2) / (n_independent_treatment - 1)
        + power(1 - treatment_part, 2) / (n_independent_control - 1)
    ) as df,
    case when middle >= 0 then near else far end as relative_ci_lower_z,
    case when middle >= 0 then far else near end as relative_ci_upper_z
from fieller
