{# JSON as collected. Text that is no JSON gives null, never an error. #}
{% macro json_document(text) -%}{{ return((dialect_macro('json_document') or adapter.dispatch('json_document', 'exp_platform'))(text)) }}{%- endmacro %}
{% macro default__json_document(text) -%}try_cast({{ text }} as json){%- endmacro %}
{% macro spark__json_document(text) -%}case when from_json({{ text }}, 'map<string,string>') is not null then {{ text }} end{%- endmacro %}
{% macro trino__json_document(text) -%}try(json_parse({{ text }})){%- endmacro %}

{# A part of a document as JSON text. #}
{% macro json_part(document, key) -%}{{ return((dialect_macro('json_part') or adapter.dispatch('json_part', 'exp_platform'))(document, key)) }}{%- endmacro %}
{% macro default__json_part(document, key) -%}cast(json_extract({{ document }}, '$.{{ key }}') as varchar){%- endmacro %}
{% macro spark__json_part(document, key) -%}get_json_object({{ document }}, '$.{{ key }}'){%- endmacro %}
{% macro trino__json_part(document, key) -%}json_format(json_extract({{ document }}, '$.{{ key }}')){%- endmacro %}

{# The text of a JSON object as a map from text to text; nested values stay JSON text. #}
{% macro json_map(text) -%}{{ return((dialect_macro('json_map') or adapter.dispatch('json_map', 'exp_platform'))(text)) }}{%- endmacro %}
{% macro default__json_map(text) -%}try_cast(try_cast({{ text }} as json) as map(varchar, varchar)){%- endmacro %}
{% macro spark__json_map(text) -%}from_json({{ text }}, 'map<string,string>'){%- endmacro %}
{% macro trino__json_map(text) -%}try(transform_values(
    cast(json_parse({{ text }}) as map(varchar, json)),
    (key, value) -> coalesce(json_extract_scalar(value, '$'), nullif(json_format(value), 'null'))
)){%- endmacro %}

{# Columns as the text of one JSON object, every value as text. #}
{% macro json_of_columns(columns) -%}{{ return((dialect_macro('json_of_columns') or adapter.dispatch('json_of_columns', 'exp_platform'))(columns)) }}{%- endmacro %}
{% macro default__json_of_columns(columns) -%}
cast(json_object({% for column in columns %}'{{ column }}', cast({{ column }} as varchar){{ ', ' if not loop.last }}{% endfor %}) as varchar)
{%- endmacro %}
{% macro spark__json_of_columns(columns) -%}
to_json(named_struct({% for column in columns %}'{{ column }}', cast({{ column }} as string){{ ', ' if not loop.last }}{% endfor %}))
{%- endmacro %}
{% macro trino__json_of_columns(columns) -%}
json_format(cast(map(
    array[{% for column in columns %}'{{ column }}'{{ ', ' if not loop.last }}{% endfor %}],
    array[{% for column in columns %}cast({{ column }} as varchar){{ ', ' if not loop.last }}{% endfor %}]
) as json))
{%- endmacro %}

{# A map as the text of a JSON object. #}
{% macro json_of_map(map) -%}{{ return((dialect_macro('json_of_map') or adapter.dispatch('json_of_map', 'exp_platform'))(map)) }}{%- endmacro %}
{% macro default__json_of_map(map) -%}cast(to_json({{ map }}) as varchar){%- endmacro %}
{% macro spark__json_of_map(map) -%}to_json({{ map }}){%- endmacro %}
{% macro trino__json_of_map(map) -%}json_format(cast({{ map }} as json)){%- endmacro %}
