{# Fails with every value that the column of an input does not have in the row's own
   experiment; null is no value. The built-in test `relationships` cannot be used: its `to`
   is read after dbt has noted what a test depends on, and an input may be a model of
   another project. #}
{% test found_in_input(model, column_name, group, input_name, field) %}

with tested as (

    select * from {{ model }}

),

known as (

    select * from {{ input(group, input_name) }}

)

select tested.{{ column_name }}
from tested
where
    tested.{{ column_name }} is not null
    and not exists (
        select 1
        from known
        where
            known.experiment_id = tested.experiment_id
            and known.{{ field }} = tested.{{ column_name }}
    )

{% endtest %}
