with calculations as (

    select * from {{ ref('metric_calculations') }}

),

row_values as (

    select * from {{ ref('metric_row_values') }}

),

segments as (

    select * from {{ ref('unit_segments') }}

),

metrics as (

    select * from {{ input('run', 'run_metrics') }}
    where quantile is not null

),

-- one value of each unit, or each of its rows
single_values as (

    select
        calculations.experiment_id,
        calculations.metric_name,
        calculations.variant,
        calculations.unit_no,
        case when metrics.is_of_rows then row_values.value else calculations.value end as value
    from calculations
    inner join metrics
        on
            calculations.experiment_id = metrics.experiment_id
            and calculations.metric_name = metrics.metric_name
    left join row_values
        on
            calculations.unit_no = row_values.unit_no
            and calculations.metric_name = row_values.metric_name
    where not metrics.is_of_rows or row_values.unit_no is not null

)

select
    single_values.experiment_id,
    single_values.metric_name,
    segments.segment,
    single_values.variant,
    single_values.unit_no,
    single_values.value,
    row_number() over (
        partition by single_values.experiment_id, single_values.metric_name, segments.segment, single_values.variant
        order by single_values.value
    ) as value_rank,
    count(*) over (
        partition by single_values.experiment_id, single_values.metric_name, segments.segment, single_values.variant
    ) as n_values
from single_values
inner join segments
    on single_values.unit_no = segments.unit_no
