with sums as (

    select * from {{ ref('int_cluster_sums') }}

)

select
    experiment_id,
    metric_name,
    segment,
    variant,
    cast(sum(n_units) as bigint) as n,
    count(*) as n_clusters,
    avg(value_sum) as sum_mean,
    var_samp(value_sum) as sum_variance,
    avg(size) as size_mean,
    var_samp(size) as size_variance,
    covar_samp(value_sum, size) as size_covariance
from sums
group by experiment_id, metric_name, segment, variant
order by metric_name, segment, variant
