-- depends_on: {{ ref('experiment_assignments') }}
{{ from_definitions('unit_segments') }}
