-- depends_on: {{ ref('int_unit_events') }}
-- depends_on: {{ ref('int_missing_values') }}
-- depends_on: {{ ref('int_missing_events') }}
-- depends_on: {{ ref('int_unit_outcomes') }}
{{ from_definitions('metric_missing_values') }}
