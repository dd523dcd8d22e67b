with ranked_values as (

    select * from {{ ref('int_ranked_values') }}

),

metrics as (

    select * from {{ input('run', 'run_metrics') }}

),

-- a rank this close above a whole number is that number: .9 x 2000 is 1800
quantiles as (

    select
        ranked_values.experiment_id,
        ranked_values.metric_name,
        ranked_values.segment,
        ranked_values.variant,
        ranked_values.value as quantile_value
    from ranked_values
    inner join metrics
        on
            ranked_values.experiment_id = metrics.experiment_id
            and ranked_values.metric_name = metrics.metric_name
    where ranked_values.value_rank = cast(ceil(metrics.quantile * ranked_values.n_values - 1e-9) as bigint)

),

units as (

    select
        ranked_values.experiment_id,
        ranked_values.metric_name,
        ranked_values.segment,
        ranked_values.variant,
        ranked_values.unit_no,
        quantiles.quantile_value,
        ranked_values.n_values,
        cast(count(*) as double) as n_rows,
        cast(sum(case when ranked_values.value <= quantiles.quantile_value then 1 else 0 end) as double) as n_below
    from ranked_values
    inner join quantiles
        on
            ranked_values.experiment_id = quantiles.experiment_id
            and ranked_values.metric_name = quantiles.metric_name
            and ranked_values.segment = quantiles.segment
            and ranked_values.variant = quantiles.variant
    group by 1, 2, 3, 4, 5, 6, 7

),

shares as (

    select
        *,
        sum(n_below) over (partition by experiment_id, metric_name, segment, variant) / n_values as share_below
    from units

)

-- units are the draws: the share of their rows below is a ratio of two sums over units
select
    experiment_id,
    metric_name,
    segment,
    variant,
    quantile_value,
    n_values,
    sum(power(n_below - share_below * n_rows, 2)) as share_squares
from shares
group by 1, 2, 3, 4, 5, 6
