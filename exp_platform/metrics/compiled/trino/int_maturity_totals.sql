with maturities as (

    select
        calculations.*,
        assignments.exposure_us - assignments.exposure_us % metrics.grain_us + metrics.maturity_us as matures_us,
        cast(
            case
                when calculations.covariate is null then null
                when calculations.is_covariate_unknown then 1
                else 0
            end as double
        ) as new_flag,
        experiments.last_look_us
    from exp_run.metric_calculations as calculations
    inner join exp_run.experiment_assignments as assignments
        on calculations.unit_no = assignments.unit_no
    inner join exp_run.run_experiments as experiments
        on calculations.experiment_id = experiments.experiment_id
    inner join exp_run.run_metrics as metrics
        on
            calculations.experiment_id = metrics.experiment_id
            and calculations.metric_name = metrics.metric_name
    where metrics.window_us is not null

),

-- the day at whose end the unit's window had closed: midnight itself still belongs to it
matured as (

    select
        *,
        cast(floor(cast(matures_us - 1 as double) / 86400000000) as bigint) + 1 as maturity_day
    from maturities
    where matures_us <= last_look_us

),

centred as (

    select
        *,
        avg(value) over (partition by experiment_id, metric_name, variant, maturity_day) as centre
    from matured

)

select
    experiment_id,
    metric_name,
    variant,
    maturity_day,
    'all' as segment,
    count(*) as n,
    avg(value) as mean,
    var_samp(value) as variance,
    avg(power(value - centre, 3)) as third_moment,
    min(value) as min_value,
    max(value) as max_value,
    cast(case
        when max(abs(value)) < 1e20
            then sum(case when abs(value) < 1e20 then element_at(transform(array[round(value * 1e6)], x -> (
    cast(floor(x / 4294967296e0) as decimal(17, 0)) * cast(4294967296 as decimal(10, 0))
    + cast(x - floor(x / 4294967296e0) * 4294967296e0 as decimal(10, 0))
) * cast(0.000001 as decimal(6, 6))), 1) end)
    end as varchar) as exact_sum,
    avg(denominator) as denominator_mean,
    var_samp(denominator) as denominator_variance,
    covar_samp(value, denominator) as denominator_covariance,
    avg(covariate) as covariate_mean,
    var_samp(covariate) as covariate_variance,
    covar_samp(value, covariate) as covariate_covariance,
    covar_samp(denominator, covariate) as covariate_denominator_covariance,
    avg(new_flag) as new_share,
    covar_samp(value, new_flag) as new_covariance
from centred
group by experiment_id, metric_name, variant, maturity_day
order by metric_name, variant, maturity_day
