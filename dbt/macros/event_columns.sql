{# Columns of fact_event, as cleaned rows and published rows both have them. #}
{% macro event_columns() -%}
{{ return([
    'event_id', 'namespace', 'event_date', 'user_id', 'anonymous_id', 'is_known', 'event_name',
    'event_ts', 'client_ts', 'received_ts', 'value', 'properties', 'country', 'device', 'platform',
    'app', 'app_version', 'experiments', 'source_file', 'source_row',
]) }}
{%- endmacro %}
