{# Fails with every outcome and event that a metric is made of and that no row of its
   experiment has: a misspelt name, an input or a namespace that was forgotten. Every value
   would be 0. #}
{% test sources_have_rows(model) %}

with needed as (

    select experiment_id, event_name as source_name from {{ input('run', 'run_events') }}
    union
    select experiment_id, numerator from {{ input('run', 'run_metrics') }}
    union
    select experiment_id, denominator from {{ input('run', 'run_metrics') }}

),

known as (

    select experiment_id, metric_name as source_name from {{ model }}
    union
    select experiment_id, event_name from {{ ref('exp_platform', 'stg_events') }}

)

select needed.*
from needed
left join known
    on needed.experiment_id = known.experiment_id and needed.source_name = known.source_name
where needed.source_name is not null and known.source_name is null

{% endtest %}
