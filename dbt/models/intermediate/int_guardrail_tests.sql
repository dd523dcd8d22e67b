{{ config(materialized='view') }}
-- Non-inferiority of each guardrail on all units: is the harm less than the margin? With a
-- relative margin m the test is of mean_T - (1 - m) mean_C > 0, whose variance has the
-- factor (1 - m)^2 on control; where a decrease is good the signs turn. One-sided, normal.
-- A guardrail without a margin, or with nobody or everybody counted in an arm of a
-- proportion, has no such test, nor has a relative margin where an arm does not vary: z is
-- null.
with guardrails as (

    select
        comparisons.*,
        metrics.margin,
        metrics.margin_scale = 'relative' as is_relative,
        case when metrics.direction = 'increase' then 1 else -1 end as good
    from {{ ref('int_comparisons') }} as comparisons
    inner join {{ input('run', 'run_metrics') }} as metrics
        on
            comparisons.experiment_id = metrics.experiment_id
            and comparisons.metric_name = metrics.metric_name
    where
        comparisons.reason = ''
        and comparisons.segment = 'all'
        and metrics.role = 'guardrail'
        and metrics.margin > 0
        and not (
            metrics.metric_type in ('proportion', 'retention', 'funnel')
            and (comparisons.control_mean in (0, 1) or comparisons.treatment_mean in (0, 1))
        )

),

statistics as (

    select
        *,
        case
            when not is_relative then (good * difference + margin) / standard_error
            when control_mean > 0 and control_error > 0 and treatment_error > 0
                then (good * difference + margin * control_mean)
                / sqrt(treatment_error + (1 - good * margin) * (1 - good * margin) * control_error)
        end as noninferiority_z
    from guardrails

),

sides as (

    select
        *,
        abs(noninferiority_z) as z
    from statistics

),

tails as (

    select
        *,
        {{ normal_tail('z') }} as tail
    from sides

)

select
    experiment_id,
    metric_name,
    segment,
    treatment,
    noninferiority_z,
    case when noninferiority_z < 0 then 1 - tail else tail end as noninferiority_p_z
from tails
