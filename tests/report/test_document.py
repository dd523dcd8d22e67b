"""The memo as data."""

import math
from dataclasses import fields, replace

import numpy as np

from exp_platform.records import Estimate
from exp_platform.report.document import build_document, to_json


def test_build_document_keeps_the_records_own_names(shippable):
    document = build_document(shippable)
    names = {field.name for field in fields(Estimate)}
    assert all(set(row) == names for row in document["estimates"])
    assert document["decision"]["outcome"] == "SHIP"
    assert document["spec"]["start_ts"] == "2026-03-02T00:00:00+00:00"
    definition = shippable.definitions["conversion"]
    assert (
        document["definitions"]["conversion"]["definition_hash"]
        == definition.definition_hash
    )


def test_build_document_null_numbers_stay_null(insufficient):
    for row in build_document(insufficient)["estimates"]:
        assert row["difference"] is None
        assert row["p_value"] is None


def test_to_json_numpy_and_non_finite_numbers(shippable):
    estimate = replace(
        shippable.estimates[0],
        details={"a": np.float64(0.5), "b": np.arange(2), "c": math.nan, 4: {"d"}},
    )
    details = to_json(estimate)["details"]
    assert details == {"a": 0.5, "b": [0, 1], "c": None, "4": "{'d'}"}
