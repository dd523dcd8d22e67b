with quarantined as (

    select
        quarantine.experiment_id,
        {{ json_text('quarantine.payload', 'user_id') }} as user_id,
        {{ json_text('quarantine.payload', 'variant') }} as variant
    from {{ source('exp', 'quarantine') }} as quarantine
    inner join {{ source('run', 'run_experiments') }} as experiments
        on quarantine.experiment_id = experiments.experiment_id
    where quarantine.table_name = 'exposures'

),

exposures as (

    select * from {{ ref('stg_exposures') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

delivered as (

    select
        experiment_id,
        user_id,
        min(variant) as variant
    from (
        select experiment_id, user_id, variant from exposures
        union all
        select experiment_id, user_id, variant from quarantined where user_id is not null
    ) as rows_delivered
    group by experiment_id, user_id

),

valid as (

    select
        experiment_id,
        user_id,
        min(variant) as variant
    from exposures
    group by experiment_id, user_id

),

stages as (

    select experiment_id, 'delivered' as stage, 1 as stage_order, coalesce(variant, 'unknown') as variant, count(*) as n_units
    from delivered group by experiment_id, coalesce(variant, 'unknown')
    union all
    select experiment_id, 'valid', 2, variant, count(*) from valid group by experiment_id, variant
    union all
    select experiment_id, 'in_window', 3, variant, count(*) from assignments group by experiment_id, variant
    union all
    select experiment_id, 'in_analysis', 4, variant, count(*) from assignments where is_in_analysis group by experiment_id, variant

)

select
    experiment_id,
    stage,
    cast(stage_order as bigint) as stage_order,
    variant,
    n_units
from stages
order by stage_order, variant
