with unit_values as (

    select
        calculations.*,
        segments.segment,
        cast(
            case
                when calculations.covariate is null then null
                when calculations.is_covariate_unknown then 1
                else 0
            end as double
        ) as new_flag
    from exp_run.metric_calculations as calculations
    inner join exp_run.unit_segments as segments
        on calculations.unit_no = segments.unit_no

),

centres as (

    select
        experiment_id, metric_name, variant, segment,
        avg(value) as centre
    from unit_values
    group by experiment_id, metric_name, variant, segment

),

moments as (

    select
        unit_values.experiment_id, unit_values.metric_name, unit_values.variant, unit_values.segment,
        count(*) as n,
        avg(unit_values.value) as mean,
        var_samp(unit_values.value) as variance,
        avg(power(unit_values.value - centres.centre, 3)) as third_moment,
        min(unit_values.value) as min_value,
        max(unit_values.value) as max_value,
        cast(case
        when max(abs(unit_values.value)) < 1e20
            then sum(case when abs(unit_values.value) < 1e20 then transform(array(round(unit_values.value * 1e6)), x -> (
    cast(floor(x / 4294967296e0) as decimal(17, 0)) * cast(4294967296 as decimal(10, 0))
    + cast(x - floor(x / 4294967296e0) * 4294967296e0 as decimal(10, 0))
) * cast(0.000001 as decimal(6, 6)))[0] end)
    end as string) as exact_sum,
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
            unit_values.experiment_id = centres.experiment_id and unit_values.metric_name = centres.metric_name
            and unit_values.variant = centres.variant and unit_values.segment = centres.segment
    group by unit_values.experiment_id, unit_values.metric_name, unit_values.variant, unit_values.segment

)

-- an arm without a counted unit keeps its row: n = 0, no moments
select
    segment_units.experiment_id, segment_units.metric_name, segment_units.variant, segment_units.segment,
    coalesce(moments.n, 0) as n,
    moments.mean, moments.variance, moments.third_moment,
    moments.min_value, moments.max_value, moments.exact_sum,
    moments.denominator_mean, moments.denominator_variance, moments.denominator_covariance,
    moments.covariate_mean, moments.covariate_variance, moments.covariate_covariance, moments.covariate_denominator_covariance,
    moments.new_share, moments.new_covariance,
    segment_units.n_immature, segment_units.n_missing
from exp_run.int_segment_units as segment_units
left join moments
    on
        segment_units.experiment_id = moments.experiment_id and segment_units.metric_name = moments.metric_name
        and segment_units.variant = moments.variant and segment_units.segment = moments.segment
order by segment_units.metric_name, segment_units.segment, segment_units.variant
