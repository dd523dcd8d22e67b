with totals as (

    select
        metric_aggregates_overall.*,
        denominator_mean is not null as is_ratio,
        mean / nullif(denominator_mean, 0) as ratio
    from exp_run.metric_aggregates_overall as metric_aggregates_overall

),

arms as (

    select
        totals.*,
        variants.is_control,
        case when totals.is_ratio then totals.ratio else totals.mean end as metric_value,
        case
            when totals.is_ratio
                then
                    (
                        totals.variance
                        - 2 * totals.ratio * totals.denominator_covariance
                        + totals.ratio * totals.ratio * totals.denominator_variance
                    )
                    / (totals.denominator_mean * totals.denominator_mean)
            else totals.variance
        end / totals.n as squared_error
    from totals
    inner join exp_run.run_variants as variants
        on
            totals.experiment_id = variants.experiment_id
            and totals.variant = variants.variant

),

comparisons as (

    select
        control.experiment_id,
        control.metric_name,
        control.segment,
        control.variant as control,
        treatment.variant as treatment,
        control.n as n_control,
        treatment.n as n_treatment,
        control.metric_value as control_mean,
        treatment.metric_value as treatment_mean,
        control.squared_error as control_error,
        treatment.squared_error as treatment_error
    from arms as control
    inner join arms as treatment
        on
            control.experiment_id = treatment.experiment_id
            and control.metric_name = treatment.metric_name
            and control.segment = treatment.segment
    where control.is_control and not treatment.is_control

)

select
    experiment_id,
    metric_name,
    segment,
    control,
    treatment,
    n_control,
    n_treatment,
    control_mean,
    treatment_mean,
    treatment_mean - control_mean as difference,
    sqrt(control_error + treatment_error) as standard_error,
    power(control_error + treatment_error, 2)
    / nullif(
        power(treatment_error, 2) / nullif(n_treatment - 1, 0)
        + power(control_error, 2) / nullif(n_control - 1, 0),
        0
    ) as df,
    (treatment_mean - control_mean)
    / nullif(sqrt(control_error + treatment_error), 0) as statistic
from comparisons
order by metric_name, segment, treatment
