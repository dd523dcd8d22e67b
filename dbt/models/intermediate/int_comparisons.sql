-- Every treatment beside control. The reason says why a pair has no test; it is the same
-- list, in the same order, as the estimators' in Python.
with arms as (

    select
        arm_values.*,
        variants.is_control
    from {{ ref('int_arm_values') }} as arm_values
    inner join {{ input('run', 'run_variants') }} as variants
        on
            arm_values.experiment_id = variants.experiment_id
            and arm_values.variant = variants.variant

),

pairs as (

    select
        control.experiment_id,
        control.metric_name,
        control.segment,
        control.variant as control,
        treatment.variant as treatment,
        control.is_ratio,
        experiments.cluster_attribute <> '' as is_clustered,
        control.n_independent as n_independent_control,
        treatment.n_independent as n_independent_treatment,
        control.n as n_control,
        treatment.n as n_treatment,
        control.metric_value as control_mean,
        treatment.metric_value as treatment_mean,
        control.squared_error as control_error,
        treatment.squared_error as treatment_error,
        case
            when experiments.assignment <> 'randomised' then 'NOT_RANDOMISED'
            when metrics.quantile is not null then 'NOT_A_MEAN'
            when least(control.n, treatment.n) < greatest(2, experiments.min_units_per_arm)
                then 'TOO_FEW_UNITS'
            when
                experiments.cluster_attribute <> ''
                and least(control.n_independent, treatment.n_independent) < experiments.fewest_clusters
                then 'TOO_FEW_CLUSTERS'
            when not (control.has_denominator and treatment.has_denominator)
                then 'DENOMINATOR_NEAR_ZERO'
            -- null where clusters were not assigned
            when least(control.n_effective, treatment.n_effective) < experiments.bootstrap_below
                then 'NEEDS_WILD_BOOTSTRAP'
            when control.squared_error + treatment.squared_error = 0 then 'ZERO_VARIANCE'
            else ''
        end as reason
    from arms as control
    inner join arms as treatment
        on
            control.experiment_id = treatment.experiment_id
            and control.metric_name = treatment.metric_name
            and control.segment = treatment.segment
    inner join {{ input('run', 'run_experiments') }} as experiments
        on control.experiment_id = experiments.experiment_id
    inner join {{ input('run', 'run_metrics') }} as metrics
        on
            control.experiment_id = metrics.experiment_id
            and control.metric_name = metrics.metric_name
    where control.is_control and not treatment.is_control

)

select
    *,
    case
        when reason in ('', 'ZERO_VARIANCE', 'NEEDS_WILD_BOOTSTRAP') then treatment_mean - control_mean
    end as difference,
    case
        when reason in ('', 'ZERO_VARIANCE', 'NEEDS_WILD_BOOTSTRAP') then sqrt(control_error + treatment_error)
    end as standard_error,
    case
        when reason = '' then (treatment_mean - control_mean) / sqrt(control_error + treatment_error)
    end as statistic
from pairs
