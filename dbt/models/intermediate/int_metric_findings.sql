{{ config(materialized='view') }}
-- What each goal and each guardrail says about an arm, on all units. A metric without a
-- row or without a test stands here too: what is missing must not look like "no harm".
with planned as (

    select
        metrics.experiment_id,
        metrics.metric_name,
        metrics.role,
        case when metrics.direction = 'increase' then 1 else -1 end as good,
        variants.variant as treatment,
        experiments.alpha,
        experiments.guardrail_alpha
    from {{ input('run', 'run_metrics') }} as metrics
    inner join {{ input('run', 'run_variants') }} as variants
        on metrics.experiment_id = variants.experiment_id
    inner join {{ input('run', 'run_experiments') }} as experiments
        on metrics.experiment_id = experiments.experiment_id
    where metrics.role in ('goal', 'guardrail') and not variants.is_control

),

results as (

    select * from {{ ref('experiment_results') }}
    where segment = 'all'

)

select
    planned.experiment_id,
    planned.metric_name,
    planned.treatment,
    planned.role,
    case planned.role
        when 'goal' then results.p_value_z_adjusted is null
        else results.noninferiority_p_z is null
    end as is_unknown,
    coalesce(
        planned.role = 'goal'
        and planned.good * results.difference > 0
        and results.p_value_z_adjusted <= planned.alpha,
        false
    ) as is_better,
    -- without a correction, which would make it easier to ship
    coalesce(
        planned.role = 'goal'
        and planned.good * results.difference < 0
        and results.p_value_z <= planned.alpha,
        false
    ) as is_worse,
    coalesce(
        planned.role = 'guardrail' and results.noninferiority_p_z <= planned.guardrail_alpha, false
    ) as is_held,
    -- one-sided: half of the two-sided p, on the harmful side
    coalesce(
        planned.role = 'guardrail'
        and planned.good * results.difference < 0
        and results.p_value_z / 2 <= planned.guardrail_alpha,
        false
    ) as is_degraded
from planned
left join results
    on
        planned.experiment_id = results.experiment_id
        and planned.metric_name = results.metric_name
        and planned.treatment = results.treatment
