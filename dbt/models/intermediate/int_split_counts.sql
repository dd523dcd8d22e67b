{{ config(materialized='view') }}
-- Units by arm in every slice whose split is looked at. Days are those of first exposure:
-- each by itself, and all up to it, which is what one sees when looking daily.
with assignments as (

    select
        experiment_id,
        unit_no,
        variant,
        {{ day_number('exposure_us') }} as exposure_day
    from {{ ref('experiment_assignments') }}
    where is_in_analysis

),

daily as (

    select
        experiment_id,
        exposure_day,
        variant,
        count(*) as n_units
    from assignments
    group by experiment_id, exposure_day, variant

),

-- an arm without a unit on a day still has those of the days before
days_and_arms as (

    select
        days.experiment_id,
        days.exposure_day,
        variants.variant,
        coalesce(daily.n_units, 0) as n_units
    from (select distinct experiment_id, exposure_day from daily) as days
    inner join {{ input('run', 'run_variants') }} as variants
        on days.experiment_id = variants.experiment_id
    left join daily
        on
            days.experiment_id = daily.experiment_id
            and days.exposure_day = daily.exposure_day
            and variants.variant = daily.variant

)

select experiment_id, 'overall' as slice, 'all' as level, variant, sum(n_units) as n_units
from daily
group by experiment_id, variant
union all
select experiment_id, 'day', {{ text_of(date_of_day('exposure_day')) }}, variant, n_units
from days_and_arms
union all
select
    experiment_id,
    'cumulative_day',
    {{ text_of(date_of_day('exposure_day')) }},
    variant,
    sum(n_units) over (partition by experiment_id, variant order by exposure_day)
from days_and_arms
union all
select assignments.experiment_id, 'segment', segments.segment, assignments.variant, count(*)
from assignments
inner join {{ ref('unit_segments') }} as segments
    on assignments.unit_no = segments.unit_no
-- subsets that leave units out on purpose are not split by plan
where segments.segment <> 'all' and segments.segment not like 'population=%'
group by assignments.experiment_id, segments.segment, assignments.variant
union all
select experiment_id, 'stage', stage, variant, n_units
from {{ ref('unit_ledger') }}
where metric_name = '' and is_exclusion
