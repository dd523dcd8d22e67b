with checked as (

    select * from exp_run.int_checked_events

),

published as (

    select * from exp_run.run_published_event_quarantine

)

select
    namespace,
    source_file,
    source_row,
    reason,
    event_id,
    event_name,
    user_id,
    event_ts,
    payload
from checked
where reason is not null
union all
select
    namespace,
    source_file,
    source_row,
    reason,
    event_id,
    event_name,
    user_id,
    event_ts,
    payload
from published
