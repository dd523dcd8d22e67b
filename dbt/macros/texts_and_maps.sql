{# One value of a map column by a key that another column names; null when absent. #}
{% macro map_value(map, key) -%}{{ return((dialect_macro('map_value') or adapter.dispatch('map_value', 'exp_platform'))(map, key)) }}{%- endmacro %}
{% macro default__map_value(map, key) -%}{{ map }}[{{ key }}]{%- endmacro %}
{% macro trino__map_value(map, key) -%}element_at({{ map }}, {{ key }}){%- endmacro %}

{% macro json_text(document, key) -%}{{ return((dialect_macro('json_text') or adapter.dispatch('json_text', 'exp_platform'))(document, key)) }}{%- endmacro %}
{% macro default__json_text(document, key) -%}json_extract_string({{ document }}, '$.{{ key }}'){%- endmacro %}
{% macro spark__json_text(document, key) -%}get_json_object({{ document }}, '$.{{ key }}'){%- endmacro %}
{% macro trino__json_text(document, key) -%}json_extract_scalar({{ document }}, '$.{{ key }}'){%- endmacro %}

{# A map as text, to break ties the same way every time: JSON, entries as they came. #}
{% macro map_text(map) -%}{{ return((dialect_macro('map_text') or adapter.dispatch('map_text', 'exp_platform'))(map)) }}{%- endmacro %}
{% macro default__map_text(map) -%}cast(to_json({{ map }}) as varchar){%- endmacro %}
{% macro spark__map_text(map) -%}to_json({{ map }}){%- endmacro %}
{% macro trino__map_text(map) -%}
    '{' || array_join(transform(
        map_entries({{ map }}),
        entry -> json_format(cast(entry[1] as json)) || ':' || coalesce(json_format(cast(entry[2] as json)), 'null')
    ), ',') || '}'
{%- endmacro %}

{# A text without the blanks around it, which are all of Unicode's category Zs. #}
{% macro trimmed(text) -%}{{ return((dialect_macro('trimmed') or adapter.dispatch('trimmed', 'exp_platform'))(text)) }}{%- endmacro %}
{% macro default__trimmed(text) -%}trim({{ text }}){%- endmacro %}
{% macro spark__trimmed(text) -%}
btrim({{ text }}, '{% for code in blanks() %}\u{{ code }}{% endfor %}')
{%- endmacro %}
{% macro trino__trimmed(text) -%}
trim({{ text }}, U&'{% for code in blanks() %}\{{ code }}{% endfor %}')
{%- endmacro %}
{% macro blanks() -%}
{{ return([
    '0020', '00a0', '1680', '2000', '2001', '2002', '2003', '2004', '2005', '2006', '2007', '2008', '2009', '200a',
    '202f', '205f', '3000',
]) }}
{%- endmacro %}

{# Anything as text. #}
{% macro text_of(value) -%}{{ return((dialect_macro('text_of') or adapter.dispatch('text_of', 'exp_platform'))(value)) }}{%- endmacro %}
{% macro default__text_of(value) -%}cast({{ value }} as varchar){%- endmacro %}
{% macro spark__text_of(value) -%}cast({{ value }} as string){%- endmacro %}

{# Whether a map has a key, be its value null or not. #}
{% macro map_has(map, key) -%}{{ return((dialect_macro('map_has') or adapter.dispatch('map_has', 'exp_platform'))(map, key)) }}{%- endmacro %}
{% macro default__map_has(map, key) -%}list_contains(map_keys({{ map }}), {{ key }}){%- endmacro %}
{% macro spark__map_has(map, key) -%}array_contains(map_keys({{ map }}), {{ key }}){%- endmacro %}
{% macro trino__map_has(map, key) -%}contains(map_keys({{ map }}), {{ key }}){%- endmacro %}

{# A map from fixed keys to columns of texts; a null stays a null. #}
{% macro map_of(columns) -%}{{ return((dialect_macro('map_of') or adapter.dispatch('map_of', 'exp_platform'))(columns)) }}{%- endmacro %}
{% macro default__map_of(columns) -%}
map([{% for key in columns %}'{{ key }}'{{ ', ' if not loop.last }}{% endfor %}], [{{ columns.values() | join(', ') }}])
{%- endmacro %}
{% macro spark__map_of(columns) -%}
map({% for key, column in columns.items() %}'{{ key }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}
{% macro trino__map_of(columns) -%}
map(array[{% for key in columns %}'{{ key }}'{{ ', ' if not loop.last }}{% endfor %}], array[{{ columns.values() | join(', ') }}])
{%- endmacro %}

{# Two maps in one; either may be null. #}
{% macro map_joined(one, other) -%}
case
        when {{ other }} is null then {{ one }}
        when {{ one }} is null then {{ other }}
        else map_concat({{ one }}, {{ other }})
    end
{%- endmacro %}

{# The texts and numbers of a group as the text of one JSON object, keys in order. #}
{% macro json_of_group(key, value) -%}{{ return((dialect_macro('json_of_group') or adapter.dispatch('json_of_group', 'exp_platform'))(key, value)) }}{%- endmacro %}
{% macro default__json_of_group(key, value) -%}
cast(to_json(map(list({{ key }} order by {{ key }}), list({{ value }} order by {{ key }}))) as varchar)
{%- endmacro %}
{% macro spark__json_of_group(key, value) -%}
to_json(map_from_entries(array_sort(collect_list(struct({{ key }}, {{ value }})))))
{%- endmacro %}
{% macro trino__json_of_group(key, value) -%}
json_format(cast(map_agg({{ key }}, {{ value }}) as json))
{%- endmacro %}
