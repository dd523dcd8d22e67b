with candidates as (

    select * from {{ ref('int_event_candidates') }}

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
        || ' ' || {{ text_of(epoch_us('candidates.client_ts')) }}
        || ' ' || coalesce({{ json_of_map('candidates.properties') }}, '') as content
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
    {{ json_of_columns(['event_id', 'event_name', 'user_id', 'client_ts', 'received_ts', 'content']) }} as payload
from ranked
where copy_number > 1
