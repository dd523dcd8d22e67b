{# The variable `dialect` asks for another engine's SQL without its adapter: its macro by
   name, or nothing. #}
{% macro dialect_macro(name) -%}
{{ return(context.get(var('dialect', target.type) ~ '__' ~ name)) }}
{%- endmacro %}

{# What is watched live is a view where the catalog has views; DuckDB's run writes tables
   of it to a catalog that has none. #}
{% macro monitored_as() -%}
{{ return('view' if var('dialect', target.type) in ('spark', 'trino') else 'table') }}
{%- endmacro %}
