-- days of a day-grained metric begin at midnight, those of others at the exposure
with immature as (

    select
        assignments.experiment_id,
        metrics.metric_name,
        assignments.unit_no,
        true as is_immature,
        false as is_value_missing,
        false as is_covariate_missing
    from exp_run.experiment_assignments as assignments
    inner join exp_run.run_experiments as experiments
        on assignments.experiment_id = experiments.experiment_id
    inner join exp_run.run_metrics as metrics
        on assignments.experiment_id = metrics.experiment_id
    where
        assignments.is_in_analysis
        and assignments.exposure_us - assignments.exposure_us % metrics.grain_us + metrics.maturity_us
        > experiments.watermark_us

),

without_value as (

    select
        missing_values.experiment_id,
        missing_values.metric_name,
        missing_values.unit_no,
        false as is_immature,
        missing_values.covariate_name is null as is_value_missing,
        coalesce(missing_values.covariate_name = metrics.covariate, false) as is_covariate_missing
    from exp_run.metric_missing_values as missing_values
    inner join exp_run.run_metrics as metrics
        on
            missing_values.experiment_id = metrics.experiment_id
            and missing_values.metric_name = metrics.metric_name

),

findings as (

    select * from immature
    union all
    select * from without_value

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
having bool_or(is_immature or is_value_missing or is_covariate_missing)
