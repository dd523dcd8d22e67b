with unit_columns as (

    select * from exp_run.int_unit_columns

),

segments as (

    select * from exp_run.unit_segments

)

-- every pair of columns once, a column with itself too
select
    one.experiment_id,
    one.metric_name,
    one.variant,
    segments.segment,
    cast(one.column_no as bigint) as column_no,
    one.column_name,
    cast(other.column_no as bigint) as other_column_no,
    other.column_name as other_column_name,
    count(*) as n,
    avg(one.value) as mean,
    covar_samp(one.value, other.value) as covariance
from unit_columns as one
inner join unit_columns as other
    on
        one.metric_name = other.metric_name
        and one.unit_no = other.unit_no
        and one.column_no <= other.column_no
inner join segments
    on one.unit_no = segments.unit_no
group by
    one.experiment_id,
    one.metric_name,
    one.variant,
    segments.segment,
    one.column_no,
    one.column_name,
    other.column_no,
    other.column_name
order by one.metric_name, segments.segment, one.variant, one.column_no, other.column_no
