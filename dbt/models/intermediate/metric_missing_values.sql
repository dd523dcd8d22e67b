-- depends_on: {{ ref('int_unit_events') }}
-- depends_on: {{ ref('int_missing_values') }}
-- depends_on: {{ ref('int_unit_outcomes') }}
{{ var('metric_missing_values') }}
