{# Fails with every value that the column of an input does not have; null is no value. The
   built-in test `relationships` cannot be used: its `to` is read after dbt has noted what
   a test depends on, and an input may be a model of another project. #}
{% test found_in_input(model, column_name, group, input_name, field) %}

select {{ column_name }}
from {{ model }}
where
    {{ column_name }} is not null
    and {{ column_name }} not in (
        select {{ field }} from {{ input(group, input_name) }} where {{ field }} is not null
    )

{% endtest %}
