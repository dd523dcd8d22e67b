{# A FROM clause: each row of a relation once for every day number from its column
   `first_day` to its column `last_day`; the day is `days.day`. #}
{% macro each_day(relation) -%}{{ return((dialect_macro('each_day') or adapter.dispatch('each_day', 'exp_platform'))(relation)) }}{%- endmacro %}
{% macro default__each_day(relation) -%}{{ relation }}, unnest(generate_series({{ relation }}.first_day, {{ relation }}.last_day)) as days(day){%- endmacro %}
{% macro spark__each_day(relation) -%}{{ relation }} lateral view explode(sequence({{ relation }}.first_day, {{ relation }}.last_day)) days as day{%- endmacro %}
{% macro trino__each_day(relation) -%}{{ relation }} cross join unnest(sequence({{ relation }}.first_day, {{ relation }}.last_day)) as days(day){%- endmacro %}
