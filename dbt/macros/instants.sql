{# Instants as microseconds since 1970 in UTC: integer arithmetic is the same everywhere. #}
{% macro epoch_us(column) -%}{{ return((dialect_macro('epoch_us') or adapter.dispatch('epoch_us', 'exp_platform'))(column)) }}{%- endmacro %}
{% macro default__epoch_us(column) -%}epoch_us({{ column }}){%- endmacro %}
{% macro spark__epoch_us(column) -%}unix_micros({{ column }}){%- endmacro %}
{% macro trino__epoch_us(column) -%}cast(round(to_unixtime({{ column }}) * 1e6) as bigint){%- endmacro %}

{% macro day_number(microseconds) -%}cast(floor(cast({{ microseconds }} as double) / 86400000000) as bigint){%- endmacro %}

{# Saturday and Sunday: day 0 was a Thursday. #}
{% macro is_weekend(day) -%}mod({{ day }} + 3, 7) >= 5{%- endmacro %}

{% macro date_of_day(day) -%}{{ return((dialect_macro('date_of_day') or adapter.dispatch('date_of_day', 'exp_platform'))(day)) }}{%- endmacro %}
{% macro default__date_of_day(day) -%}cast(date '1970-01-01' + cast({{ day }} as integer) as date){%- endmacro %}
{% macro spark__date_of_day(day) -%}date_add(date '1970-01-01', cast({{ day }} as int)){%- endmacro %}
{% macro trino__date_of_day(day) -%}date_add('day', {{ day }}, date '1970-01-01'){%- endmacro %}

{# The instant of a quarantined row, delivered as text such as 2026-01-05 08:00:00.25+00. #}
{% macro instant_of_text(text) -%}{{ return((dialect_macro('instant_of_text') or adapter.dispatch('instant_of_text', 'exp_platform'))(text)) }}{%- endmacro %}
{% macro default__instant_of_text(text) -%}try_cast({{ text }} as timestamptz){%- endmacro %}
{% macro spark__instant_of_text(text) -%}try_cast({{ text }} as timestamp){%- endmacro %}
{# DuckDB reads a T between day and time, a bare day, a bare hour as the zone, and cuts
   what is below a microsecond; Trino is told to. #}
{% macro trino__instant_of_text(text) -%}
{%- set steps = [
    ("(\\d)[Tt](\\d)", "$1 $2"), ("^(\\d{4}-\\d\\d-\\d\\d)$", "$1 00:00:00"),
    ("(\\.\\d{6})\\d+", "$1"), ("([+-]\\d\\d)$", "$1:00"),
] -%}
{%- set said = namespace(text=text) -%}
{%- for pattern, written in steps -%}
    {%- set said.text = "regexp_replace(" ~ said.text ~ ", '" ~ pattern ~ "', '" ~ written ~ "')" -%}
{%- endfor -%}
try(cast({{ said.text }} as timestamp(6) with time zone))
{%- endmacro %}

{# The instant of a number of microseconds since 1970. #}
{% macro instant_of_us(microseconds) -%}{{ return((dialect_macro('instant_of_us') or adapter.dispatch('instant_of_us', 'exp_platform'))(microseconds)) }}{%- endmacro %}
{% macro default__instant_of_us(microseconds) -%}make_timestamptz({{ microseconds }}){%- endmacro %}
{% macro spark__instant_of_us(microseconds) -%}timestamp_micros({{ microseconds }}){%- endmacro %}
{% macro trino__instant_of_us(microseconds) -%}cast(from_unixtime_nanos(1000 * ({{ microseconds }})) as timestamp(6) with time zone){%- endmacro %}

{# What an instant may be: 1970 to 2199. Anything else is a broken clock. #}
{% macro first_instant() -%}{{ instant_of_us(0) }}{%- endmacro %}
{% macro last_instant() -%}{{ instant_of_us(7258118399999999) }}{%- endmacro %}
