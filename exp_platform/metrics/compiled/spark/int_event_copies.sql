with candidates as (

    select * from exp_run.int_event_candidates

),

repeated as (

    select
        namespace,
        event_id
    from candidates
    group by namespace, event_id
    having count(*) > 1

),

contents as (

    select
        candidates.*,
        candidates.event_name
        || ' ' || candidates.user_id
        || ' ' || cast(unix_micros(candidates.client_ts) as string)
        || ' ' || coalesce(to_json(candidates.properties), '') as content
    from candidates
    inner join repeated
        on
            candidates.namespace = repeated.namespace
            and candidates.event_id = repeated.event_id

),

-- the copy received first is the event
ranked as (

    select
        *,
        row_number() over (
            partition by namespace, event_id order by received_ts, source_file, source_row
        ) as copy_number,
        first_value(content) over (
            partition by namespace, event_id order by received_ts, source_file, source_row
        ) as first_content
    from contents

)

select
    namespace,
    event_id,
    event_name,
    user_id,
    event_ts,
    source_file,
    source_row,
    content = first_content as is_same,
    to_json(named_struct('event_id', cast(event_id as string), 'event_name', cast(event_name as string), 'user_id', cast(user_id as string), 'client_ts', cast(client_ts as string), 'received_ts', cast(received_ts as string), 'content', cast(content as string))) as payload
from ranked
where copy_number > 1
