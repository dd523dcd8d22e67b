{# Models live in the schema they name, never in a prefixed one. #}
{% macro generate_schema_name(custom_schema_name, node) -%}{{ custom_schema_name or target.schema }}{%- endmacro %}
