{# Where an input stands. Alone, this project reads tables that a run opens for it. In
   another project it reads that project's own models or sources: its variable `inputs`
   says which, as a model's name or as source.table. #}
{% macro input(group, name) -%}
{%- set inputs = var('inputs', {}) -%}
{%- if not inputs -%}{{ return(source(group, name)) }}{%- endif -%}
{%- if name in inputs and '.' in inputs[name] -%}
    {%- set parts = inputs[name].split('.') -%}
    {{ return(source(parts[0], parts[1])) }}
{%- elif name in inputs -%}{{ return(ref(inputs[name])) }}
{%- elif group == 'raw' or name.startswith('run_published_') -%}
    {# read by models that are off in another project #}
    {{ return('exp_raw.' ~ name) }}
{%- elif name.startswith('run_') -%}{{ return(ref(project_name, 'exp_' ~ name)) }}
{%- elif name in rows_that_may_be_absent() -%}{{ return(no_rows(name)) }}
{%- endif -%}
{{ exceptions.raise_compiler_error("the variable `inputs` of exp_platform names no " ~ name ~ "; say which model or source holds them") }}
{%- endmacro %}

{# Relations made from the metric definitions: text that a run hands over, or models that
   `exp metrics export --format dbt` wrote into the project that is built; in a package of
   it they are named in `inputs`. There is no third way: a relation that is not there would
   make every value 0. #}
{% macro from_definitions(name) -%}
{%- if not var('inputs', {}) -%}{{ return(var(name)) }}{%- endif -%}
{%- set named = var('inputs').get(name) -%}
select * from {{ ref(named) if named else ref(project_name, 'exp_' ~ name) }}
{%- endmacro %}

{# The rows of an input, for the model that stages it. In another project the columns the
   model reads, each under its own name or as what the variable `columns` has for it; that
   is read before anything is joined, so that no other column of its name is in reach. Ids
   and names become texts, as those of experiments, arms and quarantined rows are; amounts
   become doubles, because half of a whole number is another one on some engines. #}
{% macro input_rows(group, name, texts, others, numbers=[]) -%}
{%- if not var('inputs', {}) -%}
select * from {{ input(group, name) }}
{%- else -%}
{%- set renamed = var('columns', {}).get(name, {}) -%}
select
    {%- for column in texts + others + numbers %}
    {%- set value = renamed.get(column, 'source.' ~ column) %}
    {{ text_of(value) if column in texts else 'cast(' ~ value ~ ' as double)' if column in numbers else value }} as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from (select * from {{ input(group, name) }}) as source
{%- endif -%}
{%- endmacro %}

{# What not every project has; without it nothing is rejected, assigned before exposure,
   or told by events. #}
{% macro rows_that_may_be_absent() -%}
{{ return({
    'quarantine': [
        ('experiment_id', 'varchar'), ('table_name', 'varchar'), ('row_number', 'bigint'),
        ('reason', 'varchar'), ('payload', 'varchar'),
    ],
    'experiment_assignments': [
        ('experiment_id', 'varchar'), ('user_id', 'varchar'), ('variant', 'varchar'),
        ('assigned_ts', 'timestamp'),
    ],
    'fact_event': [
        ('event_id', 'varchar'), ('namespace', 'varchar'), ('user_id', 'varchar'),
        ('is_known', 'boolean'), ('event_name', 'varchar'), ('event_ts', 'timestamp'),
        ('value', 'double'), ('properties', 'map(varchar, varchar)'), ('country', 'varchar'),
        ('device', 'varchar'), ('platform', 'varchar'), ('app', 'varchar'), ('app_version', 'varchar'),
    ],
    'event_quarantine': [
        ('namespace', 'varchar'), ('reason', 'varchar'), ('event_name', 'varchar'),
        ('user_id', 'varchar'), ('event_ts', 'timestamp'),
    ],
}) }}
{%- endmacro %}
{% macro no_rows(name) -%}
(
    select
        {%- for column, type in rows_that_may_be_absent()[name] %}
        cast(null as {{ engine_type(type) }}) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
) as {{ name }}
{%- endmacro %}

{# A type of DuckDB and Trino by the name that an engine has for it. #}
{% macro engine_type(type) -%}{{ return((dialect_macro('engine_type') or adapter.dispatch('engine_type', 'exp_platform'))(type)) }}{%- endmacro %}
{% macro default__engine_type(type) -%}{{ type }}{%- endmacro %}
{# without a zone and six digits a table of Iceberg would refuse it #}
{% macro trino__engine_type(type) -%}{{ type.replace('timestamp', 'timestamp(6) with time zone') }}{%- endmacro %}
{% macro spark__engine_type(type) -%}{{ type.replace('varchar', 'string').replace('map(', 'map<').replace(')', '>') }}{%- endmacro %}
