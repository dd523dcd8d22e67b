with candidates as (

    select * from exp_run.int_event_candidates

),

copies as (

    select * from exp_run.int_event_copies

)

select
    candidates.event_id,
    candidates.namespace,
    candidates.event_date,
    candidates.user_id,
    candidates.anonymous_id,
    candidates.is_known,
    candidates.event_name,
    candidates.event_ts,
    candidates.client_ts,
    candidates.received_ts,
    candidates.value,
    candidates.properties,
    candidates.country,
    candidates.device,
    candidates.platform,
    candidates.app,
    candidates.app_version,
    candidates.experiments,
    candidates.source_file,
    candidates.source_row
from candidates
left join copies
    on
        candidates.source_file = copies.source_file
        and candidates.source_row = copies.source_row
where copies.source_file is null
order by
    candidates.namespace,
    candidates.event_date,
    candidates.user_id,
    candidates.event_ts,
    candidates.event_id
