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
        || ' ' || cast(cast(round(to_unixtime(candidates.client_ts) * 1e6) as bigint) as varchar)
        || ' ' || coalesce(json_format(cast(candidates.properties as json)), '') as content
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
    json_format(cast(map(
    array['event_id', 'event_name', 'user_id', 'client_ts', 'received_ts', 'content'],
    array[cast(event_id as varchar), cast(event_name as varchar), cast(user_id as varchar), cast(client_ts as varchar), cast(received_ts as varchar), cast(content as varchar)]
) as json)) as payload
from ranked
where copy_number > 1
