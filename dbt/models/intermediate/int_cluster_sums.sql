-- Where whole clusters were assigned their units are not independent: what can be
-- compared are sums by cluster. Empty for every other experiment.
with experiments as (

    select experiment_id
    from {{ input('run', 'run_experiments') }}
    where cluster_attribute <> ''

),

assignments as (

    select
        assignments.experiment_id,
        assignments.unit_no,
        assignments.cluster_id
    from {{ ref('experiment_assignments') }} as assignments
    inner join experiments
        on assignments.experiment_id = experiments.experiment_id

),

calculations as (

    select * from {{ ref('metric_calculations') }}

),

segments as (

    select * from {{ ref('unit_segments') }}

)

select
    calculations.experiment_id,
    calculations.metric_name,
    segments.segment,
    calculations.variant,
    assignments.cluster_id,
    count(*) as n_units,
    sum(calculations.value) as value_sum,
    -- what the sum is divided by: units, or a ratio's denominators
    coalesce(sum(calculations.denominator), cast(count(*) as double)) as size
from assignments
inner join calculations
    on assignments.unit_no = calculations.unit_no
inner join segments
    on assignments.unit_no = segments.unit_no
group by
    calculations.experiment_id,
    calculations.metric_name,
    segments.segment,
    calculations.variant,
    assignments.cluster_id
order by
    calculations.metric_name,
    segments.segment,
    calculations.variant,
    assignments.cluster_id
