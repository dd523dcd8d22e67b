with rejected as (

    select * from exp_run.int_rejected_events

),

candidates as (

    select * from exp_run.int_event_candidates

),

copies as (

    select * from exp_run.int_event_copies

),

readable as (

    select
        namespace,
        event_id,
        event_name,
        user_id
    from candidates
    where event_id in (select rejected.event_id from rejected)
    union
    select
        namespace,
        event_id,
        event_name,
        user_id
    from rejected
    where reason = 'EVENT_ID_REUSED'

)

-- an event that also came in order is known: nothing of it is missing
select
    rejected.namespace,
    rejected.source_file,
    rejected.source_row,
    case when readable.event_id is null then rejected.reason else 'EVENT_ID_REUSED' end as reason,
    rejected.event_id,
    rejected.event_name,
    rejected.user_id,
    rejected.event_ts,
    rejected.payload
from rejected
left join readable
    on
        rejected.namespace = readable.namespace
        and rejected.event_id = readable.event_id
        and rejected.event_name = readable.event_name
        and rejected.user_id = readable.user_id
union all
select
    namespace,
    source_file,
    source_row,
    'EVENT_ID_REUSED' as reason,
    event_id,
    event_name,
    user_id,
    event_ts,
    payload
from copies
where not is_same
