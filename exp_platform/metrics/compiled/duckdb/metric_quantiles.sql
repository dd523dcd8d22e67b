with metrics as (

    select * from exp_run.run_metrics
    where quantile is not null

),

-- 1.96: the search spans the 95 % interval of the share of values below the quantile
arms as (

    select
        totals.experiment_id,
        totals.metric_name,
        totals.variant,
        totals.segment,
        totals.n,
        coalesce(quantiles.n_values, 0) as n_values,
        metrics.quantile,
        case when totals.n >= 2 then quantiles.quantile_value end as value,
        case
            when totals.n < 2 or quantiles.n_values is null then null
            when metrics.is_of_rows
                then sqrt(quantiles.share_squares * totals.n / (totals.n - 1)) / quantiles.n_values
            else sqrt(metrics.quantile * (1 - metrics.quantile) / totals.n)
        end as share_error,
        1.959963984540054e0 as z
    from exp_run.metric_aggregates_overall as totals
    inner join metrics
        on totals.experiment_id = metrics.experiment_id and totals.metric_name = metrics.metric_name
    left join exp_run.int_quantiles as quantiles
        on
            totals.experiment_id = quantiles.experiment_id
            and totals.metric_name = quantiles.metric_name
            and totals.segment = quantiles.segment
            and totals.variant = quantiles.variant

)

select
    arms.experiment_id,
    arms.metric_name,
    arms.variant,
    arms.segment,
    arms.n,
    arms.n_values,
    arms.quantile,
    arms.value,
    arms.share_error,
    arms.z,
    lower_values.value as lower,
    upper_values.value as upper
from arms
left join exp_run.int_ranked_values as lower_values
    on
        arms.experiment_id = lower_values.experiment_id
        and arms.metric_name = lower_values.metric_name
        and arms.segment = lower_values.segment
        and arms.variant = lower_values.variant
        and cast(ceil((arms.quantile - arms.z * arms.share_error) * arms.n_values - 1e-9) as bigint)
        = lower_values.value_rank
left join exp_run.int_ranked_values as upper_values
    on
        arms.experiment_id = upper_values.experiment_id
        and arms.metric_name = upper_values.metric_name
        and arms.segment = upper_values.segment
        and arms.variant = upper_values.variant
        and cast(ceil((arms.quantile + arms.z * arms.share_error) * arms.n_values - 1e-9) as bigint)
        = upper_values.value_rank
order by arms.metric_name, arms.segment, arms.variant
