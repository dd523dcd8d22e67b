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
        || ' ' || cast(epoch_us(candidates.client_ts) as varchar)
        || ' ' || coalesce(cast(to_json(candidates.properties) as varchar), '') as content
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
    cast(json_object('event_id', cast(event_id as varchar), 'event_name', cast(event_name as varchar), 'user_id', cast(user_id as varchar), 'client_ts', cast(client_ts as varchar), 'received_ts', cast(received_ts as varchar), 'content', cast(content as varchar)) as varchar) as payload
from ranked
where copy_number > 1
