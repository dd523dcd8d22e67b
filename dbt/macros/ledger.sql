{# A stage of the unit ledger with its place; the list of stages is the project's
   variable `ledger_stages`, and nothing else knows their order. #}
{% macro ledger_stage(name) -%}
'{{ name }}' as stage, {{ var('ledger_stages').index(name) + 1 }} as stage_order
{%- endmacro %}
