with assignments as (

    select * from exp_run.experiment_assignments

),

missing_values as (

    select * from exp_run.int_missing_values

),

experiments as (

    select * from exp_run.run_experiments

),

metrics as (

    select * from exp_run.run_metrics

),

immature as (

    select
        assignments.experiment_id,
        metrics.metric_name,
        assignments.unit_no,
        true as is_immature,
        false as is_value_missing,
        false as is_covariate_missing
    from assignments
    inner join experiments
        on assignments.experiment_id = experiments.experiment_id
    inner join metrics
        on assignments.experiment_id = metrics.experiment_id
    where
        assignments.is_in_analysis
        and assignments.exposure_us + metrics.maturity_us > experiments.watermark_us

),

without_value as (

    select
        metrics.experiment_id,
        metrics.metric_name,
        missing_values.unit_no,
        false as is_immature,
        coalesce(
            missing_values.metric_name in (metrics.numerator, metrics.denominator)
            and missing_values.offset_us >= metrics.delay_us
            and coalesce(missing_values.offset_us < metrics.delay_us + metrics.window_us, true),
            false
        ) as is_value_missing,
        coalesce(
            missing_values.metric_name = metrics.covariate
            and missing_values.offset_us < 0
            and missing_values.offset_us >= -metrics.lookback_us,
            false
        ) as is_covariate_missing
    from missing_values
    inner join metrics
        on missing_values.experiment_id = metrics.experiment_id

),

findings as (

    select * from immature
    union all
    select * from without_value
    where is_value_missing or is_covariate_missing

)

select
    experiment_id,
    metric_name,
    unit_no,
    bool_or(is_immature) as is_immature,
    bool_or(is_value_missing) as is_value_missing,
    bool_or(is_covariate_missing) as is_covariate_missing
from findings
group by experiment_id, metric_name, unit_no
