with checked as (

    select * from {{ ref('int_checked_events') }}

),

published as (

    select * from {{ input('run', 'run_published_events') }}

)

-- what was published before for the days that the new rows touch stands beside them
select
    {{ event_columns() | join(',\n    ') }}
from checked
where reason is null
union all
select
    {{ event_columns() | join(',\n    ') }}
from published
