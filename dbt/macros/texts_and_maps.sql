{# One value of a map column by a key that another column names; null when absent. #}
{% macro map_value(map, key) -%}{{ return((dialect_macro('map_value') or adapter.dispatch('map_value', 'exp_platform'))(map, key)) }}{%- endmacro %}
{% macro default__map_value(map, key) -%}{{ map }}[{{ key }}]{%- endmacro %}
{% macro trino__map_value(map, key) -%}element_at({{ map }}, {{ key }}){%- endmacro %}

{% macro json_text(document, key) -%}{{ return((dialect_macro('json_text') or adapter.dispatch('json_text', 'exp_platform'))(document, key)) }}{%- endmacro %}
{% macro default__json_text(document, key) -%}json_extract_string({{ document }}, '$.{{ key }}'){%- endmacro %}
{% macro spark__json_text(document, key) -%}get_json_object({{ document }}, '$.{{ key }}'){%- endmacro %}
{% macro trino__json_text(document, key) -%}json_extract_scalar({{ document }}, '$.{{ key }}'){%- endmacro %}

{# A map as text, to break ties the same way every time. #}
{% macro map_text(map) -%}{{ return((dialect_macro('map_text') or adapter.dispatch('map_text', 'exp_platform'))(map)) }}{%- endmacro %}
{% macro default__map_text(map) -%}cast({{ map }} as varchar){%- endmacro %}
{% macro spark__map_text(map) -%}to_json({{ map }}){%- endmacro %}
{% macro trino__map_text(map) -%}json_format(cast({{ map }} as json)){%- endmacro %}

{# Anything as text. #}
{% macro text_of(value) -%}{{ return((dialect_macro('text_of') or adapter.dispatch('text_of', 'exp_platform'))(value)) }}{%- endmacro %}
{% macro default__text_of(value) -%}cast({{ value }} as varchar){%- endmacro %}
{% macro spark__text_of(value) -%}cast({{ value }} as string){%- endmacro %}

{# Whether a map has a key, be its value null or not. #}
{% macro map_has(map, key) -%}{{ return((dialect_macro('map_has') or adapter.dispatch('map_has', 'exp_platform'))(map, key)) }}{%- endmacro %}
{% macro default__map_has(map, key) -%}list_contains(map_keys({{ map }}), {{ key }}){%- endmacro %}
{% macro spark__map_has(map, key) -%}array_contains(map_keys({{ map }}), {{ key }}){%- endmacro %}
{% macro trino__map_has(map, key) -%}contains(map_keys({{ map }}), {{ key }}){%- endmacro %}
