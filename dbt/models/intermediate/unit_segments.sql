-- depends_on: {{ ref('experiment_assignments') }}
{{ var('unit_segments') }}
