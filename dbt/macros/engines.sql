{# The variable `dialect` asks for another engine's SQL: its macro by name, or nothing.
   What is compiled that way is for reading; running it needs the engine's adapter. #}
{% macro dialect_macro(name) -%}
{{ return(context.get(var('dialect', 'default') ~ '__' ~ name)) }}
{%- endmacro %}
