-- depends_on: {{ ref('int_unit_events') }}
-- depends_on: {{ ref('int_unit_outcomes') }}
{{ var('metric_unit_days') }}
