with unknown as (

    select distinct metric_name, covariate_name, unit_no
    from exp_run.metric_missing_values
    where covariate_name is not null

),

units as (

    select
        calculations.*,
        covariates.covariate_name,
        covariates.position,
        covariates.lookback_us + assignments.exposure_us % covariates.grain_us as span_us,
        assignments.exposure_us,
        assignments.first_seen_us
    from exp_run.metric_calculations as calculations
    inner join exp_run.run_covariates as covariates
        on
            calculations.experiment_id = covariates.experiment_id
            and calculations.metric_name = covariates.metric_name
    inner join exp_run.experiment_assignments as assignments
        on calculations.unit_no = assignments.unit_no

),

-- a unit first seen inside the look-back has no past: 0, and 1 in an indicator
covariate_values as (

    select
        units.*,
        coalesce(metric_covariates.value, 0.0) as covariate_value,
        unknown.unit_no is not null
        or coalesce(units.first_seen_us >= units.exposure_us - units.span_us, false) as is_unknown
    from units
    left join exp_run.metric_covariates as metric_covariates
        on
            units.unit_no = metric_covariates.unit_no
            and units.metric_name = metric_covariates.metric_name
            and units.covariate_name = metric_covariates.covariate_name
    left join unknown
        on
            units.unit_no = unknown.unit_no
            and units.metric_name = unknown.metric_name
            and units.covariate_name = unknown.covariate_name

)

select experiment_id, metric_name, variant, unit_no, 'value' as column_name, 0 as column_no, value
from units
where position = 1
union all
select experiment_id, metric_name, variant, unit_no, 'denominator', 1, denominator
from units
where position = 1 and denominator is not null
union all
select experiment_id, metric_name, variant, unit_no, covariate_name, 2 * position, case when is_unknown then 0.0 else covariate_value end
from covariate_values
union all
select experiment_id, metric_name, variant, unit_no, covariate_name || '_missing', 2 * position + 1, case when is_unknown then 1.0 else 0.0 end
from covariate_values
-- sums of what follows must not depend on how threads split the rows here
order by metric_name, column_no, unit_no
