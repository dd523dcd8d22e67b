{{ config(materialized='view') }}
-- The two-sided normal p of every comparison, and for the goals on all units the p after
-- Holm over goals x arms. A goal without a test still counts in the family, so that a
-- metric that failed never makes the others look better.
with families as (

    select
        goals.experiment_id,
        count(*) as family_size
    from {{ input('run', 'run_metrics') }} as goals
    inner join {{ input('run', 'run_variants') }} as variants
        on goals.experiment_id = variants.experiment_id
    where goals.role = 'goal' and not variants.is_control
    group by goals.experiment_id

),

tested as (

    select
        comparisons.*,
        abs(comparisons.statistic) as z,
        metrics.role = 'goal' and comparisons.segment = 'all' as is_in_family,
        coalesce(families.family_size, 0) as family_size
    from {{ ref('int_comparisons') }} as comparisons
    inner join {{ input('run', 'run_metrics') }} as metrics
        on
            comparisons.experiment_id = metrics.experiment_id
            and comparisons.metric_name = metrics.metric_name
    left join families
        on comparisons.experiment_id = families.experiment_id
    where comparisons.reason = ''

),

p_values as (

    select
        *,
        2e0 * {{ normal_tail('z') }} as p_value_z
    from tested

),

-- Holm: the smallest p times the whole family, the next times one less, never falling
ranked as (

    select
        *,
        family_size + 1 - row_number() over (
            partition by experiment_id, is_in_family order by p_value_z, metric_name, treatment
        ) as n_left
    from p_values

)

select
    experiment_id,
    metric_name,
    segment,
    treatment,
    p_value_z,
    case
        when is_in_family
            then least(1e0, max(p_value_z * n_left) over (
                partition by experiment_id, is_in_family
                order by n_left desc
                rows between unbounded preceding and current row
            ))
    end as p_value_z_adjusted
from ranked
