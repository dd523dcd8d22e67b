with calculations as (

    select * from {{ ref('metric_calculations') }}

),

segments as (

    select * from {{ ref('unit_segments') }}

),

unit_values as (

    select
        calculations.*,
        segments.segment,
        case
            when calculations.covariate is null then null
            when calculations.is_new then 1.0
            else 0.0
        end as new_flag
    from calculations
    inner join segments
        on calculations.unit_no = segments.unit_no

),

centres as (

    select
        experiment_id,
        metric_name,
        variant,
        segment,
        avg(value) as centre
    from unit_values
    group by experiment_id, metric_name, variant, segment

)

select
    unit_values.experiment_id,
    unit_values.metric_name,
    unit_values.variant,
    unit_values.segment,
    count(*) as n,
    avg(unit_values.value) as mean,
    var_samp(unit_values.value) as variance,
    avg(power(unit_values.value - centres.centre, 3)) as third_moment,
    min(unit_values.value) as min_value,
    max(unit_values.value) as max_value,
    cast(sum(cast(unit_values.value as decimal(38, 6))) as varchar) as exact_sum,
    avg(unit_values.denominator) as denominator_mean,
    var_samp(unit_values.denominator) as denominator_variance,
    covar_samp(unit_values.value, unit_values.denominator) as denominator_covariance,
    avg(unit_values.covariate) as covariate_mean,
    var_samp(unit_values.covariate) as covariate_variance,
    covar_samp(unit_values.value, unit_values.covariate) as covariate_covariance,
    covar_samp(unit_values.denominator, unit_values.covariate) as covariate_denominator_covariance,
    avg(unit_values.new_flag) as new_share,
    covar_samp(unit_values.value, unit_values.new_flag) as new_covariance
from unit_values
inner join centres
    on
        unit_values.experiment_id = centres.experiment_id
        and unit_values.metric_name = centres.metric_name
        and unit_values.variant = centres.variant
        and unit_values.segment = centres.segment
group by
    unit_values.experiment_id,
    unit_values.metric_name,
    unit_values.variant,
    unit_values.segment
order by metric_name, segment, variant
