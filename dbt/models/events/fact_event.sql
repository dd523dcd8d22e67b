with candidates as (

    select * from {{ ref('int_event_candidates') }}

),

copies as (

    select * from {{ ref('int_event_copies') }}

)

select
    candidates.{{ event_columns() | join(',\n    candidates.') }}
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
