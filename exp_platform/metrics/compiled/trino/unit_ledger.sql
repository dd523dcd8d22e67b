with delivered_units as (

    select * from exp_run.int_delivered_units

),

assignments as (

    select * from exp_run.experiment_assignments

),

stages as (

    select
        experiment_id,
        'delivered' as stage,
        1 as stage_order,
        delivered_variant as variant,
        count(*) as n_units
    from delivered_units
    group by experiment_id, delivered_variant
    union all
    select
        experiment_id,
        'valid' as stage,
        2 as stage_order,
        valid_variant as variant,
        count(*) as n_units
    from delivered_units
    where valid_variant is not null
    group by experiment_id, valid_variant
    union all
    select
        experiment_id,
        'in_window' as stage,
        3 as stage_order,
        variant,
        count(*) as n_units
    from assignments
    group by experiment_id, variant
    union all
    select
        experiment_id,
        'in_analysis' as stage,
        4 as stage_order,
        variant,
        count(*) as n_units
    from assignments
    where is_in_analysis
    group by experiment_id, variant

)

select
    experiment_id,
    stage,
    cast(stage_order as bigint) as stage_order,
    variant,
    n_units
from stages
order by stage_order, variant
