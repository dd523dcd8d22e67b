"""`exp_platform.did` on any data frame."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import exp_platform
from exp_platform.errors import ContractError, UsageError
from exp_platform.records import EstimateRole

GOLDEN = Path(__file__).parents[1] / "golden" / "panel" / "golden.json"
ROUNDING = 1e-8


@pytest.fixture(scope="module")
def answer():
    return json.loads(GOLDEN.read_text())


def _did(frame, **changed):
    columns = {
        "unit": "shop",
        "time": "year",
        "treated": "treated",
        "policy_date": "2004",
        "cluster": "town",
    }
    return exp_platform.did(frame, "sales", **{**columns, **changed})


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_did_agrees_with_statsmodels_on_any_frame(make, answer):
    found = _did(make(answer["rows"]))
    primary = found[0]
    assert (primary.method, primary.role) == ("did_2x2", EstimateRole.PRIMARY)
    for name, value in answer["did_2x2"].items():
        assert getattr(primary, name) == pytest.approx(value, rel=ROUNDING)


def test_did_takes_weights_values_and_numbers(answer):
    frame = pd.DataFrame(answer["rows"])
    frame["arm"] = frame.treated.map({0: "before", 1: "after"})
    found = _did(frame, treated="arm=after", weight="weight", policy_date=2004)
    expected = answer["did_2x2_weighted"]["difference"]
    assert found[0].difference == pytest.approx(expected, rel=ROUNDING)


def test_did_takes_cohorts_and_covariates(answer):
    frame = pd.DataFrame(answer["rows"])
    frame["since"] = frame.treated.map({0: 0, 1: 2004})
    frame.loc[frame.town.isin(["t01", "t03", "t05", "t07", "t09"]), "since"] = 2006
    found = _did(frame, treated=None, policy_date=None, cohort="since")
    assert found[0].method == "callaway_santanna_simple"
    adjusted = _did(
        frame, treated=None, policy_date=None, cohort="since", covariates=["weight"]
    )
    assert adjusted[0].details["adjustment"] == "doubly_robust"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_did_leaves_missing_values_out(make, answer):
    rows = {name: list(column) for name, column in answer["rows"].items()}
    rows["sales"][0] = float("nan")
    found = _did(make(rows))
    assert found[0].details["n_incomplete"] == 1


def test_did_says_what_it_left_out_of_each_arm(answer):
    frame = pd.DataFrame(answer["rows"])
    frame["since"] = frame.treated.map({0: 0, 1: 2004})
    shops = {
        value: list(rows.shop.unique()) for value, rows in frame.groupby("treated")
    }
    frame.loc[frame.shop == shops[1][0], "since"] = frame.year.min()
    frame.loc[frame.shop == shops[1][1], "sales"] = float("nan")
    frame.loc[(frame.shop == shops[0][0]) & (frame.year == 2003), "sales"] = None
    frame.loc[frame.shop == shops[0][1], "weight"] = None
    frame = frame[(frame.shop != shops[0][2]) | (frame.year != 2003)]
    nameless = frame.iloc[:3].assign(
        shop=[None, None, shops[0][3]], year=[2003, 2004, None]
    )
    rows = exp_platform.did(
        pd.concat([frame, nameless]),
        "sales",
        unit="shop",
        time="year",
        cohort="since",
        covariates="weight",
    )
    control = {"units": 3, "why": {"missing_value": 2, "missing_covariate": 1}}
    treated = {"missing_value": 1, "always_treated": 1}
    for row in rows:
        assert row.details["n_rows_without_unit_or_period"] == 3
        left_out = row.details["left_out"]
        assert left_out["not_treated"] == control
        if row.method == "twfe":
            assert left_out["treated"] == {"units": 1, "why": {"missing_value": 1}}
        else:
            assert left_out["treated"] == {"units": 2, "why": treated}
    sizes = {value: len(found) for value, found in enumerate(shops.values())}
    (row,) = (row for row in rows if row.method == "did_2x2")
    assert (row.n_control, row.n_treatment) == (sizes[0] - 3, sizes[1] - 2)


def test_did_says_nothing_where_it_left_out_nothing(answer):
    for row in _did(pd.DataFrame(answer["rows"])):
        told = {"left_out", "periods_without_value", "n_rows_without_unit_or_period"}
        assert not told & set(row.details)


def test_did_narrows_the_interval_with_alpha(answer):
    frame = pd.DataFrame(answer["rows"])
    wide, narrow = (_did(frame, alpha=alpha)[0] for alpha in (0.05, 0.5))
    assert narrow.ci_upper < wide.ci_upper
    with pytest.raises(UsageError, match="alpha"):
        _did(frame, alpha=1.5)


def test_did_refuses_what_is_no_panel(answer):
    frame = pd.DataFrame(answer["rows"])
    with pytest.raises(UsageError, match="no column 'shops'"):
        _did(frame, unit="shops")
    with pytest.raises(ContractError, match="several rows in one period"):
        _did(pd.concat([frame, frame]))
    with pytest.raises(UsageError, match="no number"):
        _did(frame.assign(sales="many"))


REFUSED = {
    "unit=": lambda _: {"unit": "shops"},
    "covariates='sizes'": lambda _: {"covariates": ["sizes"]},
    "cohort='COL', or treated='COL' with policy_date='D'": lambda _: {"treated": None},
    "policy_date= belongs to treated=, not to cohort=": lambda _: {
        "treated": None,
        "cohort": "treated",
    },
    "where:   policy_date=": lambda _: {"policy_date": "soon"},
    "correct policy_date=": lambda f: {"policy_date": f.year.min()},
    "check time=": lambda _: {"time": "constant"},
    "time='text'": lambda _: {"time": "text"},
    "where:   frame, column 'text'": lambda _: {
        "treated": None,
        "policy_date": None,
        "cohort": "text",
    },
    "check cohort=": lambda _: {
        "treated": None,
        "policy_date": None,
        "cohort": "zero",
    },
    "check treated= and policy_date=": lambda _: {"treated": "zero"},
    "the right unit=": lambda _: {"unit": "constant"},
    "policy_date= for a group": lambda _: {"treated": "at_once", "policy_date": None},
    "leave weight= out": lambda _: {"weight": "zero"},
    "name policy_date=, or unit=": lambda _: {"unit": None, "policy_date": None},
    "treated='COL=VALUE'": lambda _: {"treated": "text"},
    "treated names no column": lambda _: {"treated": True},
}


@pytest.mark.parametrize("told", REFUSED)
def test_did_names_arguments_and_no_flags_in_what_it_refuses(told, answer):
    frame = pd.DataFrame(answer["rows"])
    frame = frame.assign(
        constant=2000,
        zero=0,
        text="a" + frame.year.astype(str),
        at_once=((frame.treated == 1) & (frame.year == 2004)).astype(int),
    )
    columns = {"cluster": None, **REFUSED[told](frame)}
    with pytest.raises((ContractError, UsageError)) as refused:
        _did(frame.sort_index(ascending=False), **columns)
    words = str(refused.value)
    assert told in words
    for foreign in ("--", "flag;", "import", "nothing was written", "__index"):
        assert foreign not in words


def test_did_finds_columns_in_an_index_that_has_names(answer):
    frame = pd.DataFrame(answer["rows"])
    indexed = frame.set_index(["shop", "year"])
    assert _did(indexed) == _did(frame)


@pytest.mark.parametrize("dtype", ["float64", "float32", "str"])
@pytest.mark.parametrize("others", [[], [float("nan")]])
def test_did_refuses_an_infinite_value(dtype, others, answer, tmp_path):
    frame = pd.DataFrame(answer["rows"])
    frame.loc[: len(others), "sales"] = [*others, float("-inf")]
    frame["sales"] = frame["sales"].astype(dtype)
    file = tmp_path / "panel.parquet"
    frame.to_parquet(file)
    for rows in (frame, file):
        with pytest.raises(UsageError, match=r"no number(.|\n)*-inf"):
            _did(rows)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_did_reads_files(suffix, answer, tmp_path):
    frame = pd.DataFrame(answer["rows"])
    file = tmp_path / f"panel{suffix}"
    frame.to_parquet(file) if suffix == ".parquet" else frame.to_csv(file, index=False)
    for path in (file, str(file)):
        assert _did(path) == _did(frame)
    with pytest.raises(UsageError, match="no column 'shops'"):
        _did(file, unit="shops")
    with pytest.raises(UsageError, match="no such file"):
        _did(tmp_path / "nowhere.parquet")


def test_did_is_blind_to_the_order_of_rows(answer):
    frame = pd.DataFrame(answer["rows"])
    assert _did(frame) == _did(frame.sample(frac=1, random_state=1))


def test_did_gives_what_an_import_gives(answer, project):
    frame = pd.DataFrame(answer["rows"])
    file = project.root / "shops.csv"
    frame.to_csv(file, index=False)
    flags = ["--unit", "shop", "--time", "year", "--outcome", "sales=sales"]
    flags += ["--treated", "treated", "--policy-date", "2004", "--cluster", "town"]
    done = project.exp(
        "import", file, "--design", "did", "--experiment-id", "s", *flags
    )
    assert done.code == 0, done.err
    assert project.exp("run", "s").code == 0
    rows = json.loads(project.exp("results", "s", "--format", "json").out)
    imported = {row["method"]: row for row in rows}
    for one in _did(frame):
        assert imported[one.method]["difference"] == one.difference
        assert imported[one.method]["p_value"] == one.p_value


def test_did_refuses_units_that_swap_their_clusters(answer):
    frame = pd.DataFrame(answer["rows"])
    frame["shop"] = frame.shop.astype("category").cat.codes
    frame["town"] = frame.town.astype("category").cat.codes
    last = frame[frame.year == frame.year.max()]
    one, other = last.index[0], last.index[last.town != last.town.iloc[0]][0]
    frame.loc[[one, other], "town"] = frame.loc[[other, one], "town"].to_numpy()
    with pytest.raises(ContractError, match="'town' changes"):
        _did(frame)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("town", "elsewhere", "'town' changes"), ("treated", 1, "'treated' changes")],
)
def test_did_refuses_facts_that_change_after_the_first_period(
    column, value, words, answer
):
    frame = pd.DataFrame(answer["rows"])
    last = frame.index[(frame.year == frame.year.max()) & (frame.treated == 0)][0]
    frame.loc[last, column] = value
    with pytest.raises(ContractError, match=words):
        _did(frame)


def test_did_counts_units_that_begin_later(answer):
    frame = pd.DataFrame(answer["rows"])
    first = frame.index[frame.year == frame.year.min()][0]
    assert _did(frame.drop(index=first))[0].details["n_incomplete"] == 1


def test_did_takes_covariates_from_the_first_period_that_has_one(answer):
    frame = pd.DataFrame(answer["rows"])
    frame["since"] = frame.treated.map({0: 0, 1: 2004})
    frame.loc[frame.town.isin(["t01", "t03", "t05", "t07", "t09"]), "since"] = 2006
    columns = {"treated": None, "policy_date": None, "cohort": "since"}
    whole = _did(frame, covariates=["weight"], **columns)
    frame.loc[frame.year == frame.year.min(), "weight"] = None
    assert _did(frame, covariates=["weight"], **columns) == whole


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize(
    "columns", [{}, {"treated": "treated=1"}, {"policy_date": None, "treated": "post"}]
)
def test_did_refuses_units_that_do_not_say_whether_they_were_treated(
    make, columns, answer
):
    frame = pd.DataFrame(answer["rows"])
    frame["post"] = (frame.treated == 1) & (frame.year >= 2004)
    for name in ("treated", "post"):
        frame[name] = frame[name].astype(float).mask(frame.shop.isin(["s001", "s002"]))
    lost = int(frame.treated.isna().sum())
    assert lost
    with pytest.raises(UsageError, match="who was treated") as caught:
        _did(make(frame.to_dict(orient="list")), **columns)
    found = caught.value.parts["found"]
    assert found == f"null in {lost} rows of 2 units: s001, s002"


def test_did_of_cross_sections_counts_rows_without_treatment(answer):
    frame = pd.DataFrame(answer["rows"])
    frame.loc[:2, "treated"] = None
    with pytest.raises(UsageError, match="who was treated") as caught:
        _did(frame, unit=None)
    assert caught.value.parts["found"] == "null in 3 rows"


def test_did_of_cross_sections_says_which_rows_it_left_out(answer):
    frame = pd.DataFrame(answer["rows"])
    frame.loc[frame.index[frame.treated == 1][:2], "sales"] = float("nan")
    row = _did(frame, unit=None)[0]
    told = {"treated": {"units": 2, "why": {"missing_value": 2}}}
    assert row.details["left_out"] == told
    assert row.n_treatment == int((frame.treated == 1).sum()) - 2


def test_did_needs_no_treatment_of_rows_without_unit_or_period(answer):
    frame = pd.DataFrame(answer["rows"])
    nowhere = frame.head(1).assign(year=float("nan"), treated=float("nan"))
    found = _did(pd.concat([frame, nowhere]))
    assert found[0].difference == _did(frame)[0].difference


def test_did_refuses_a_cohort_of_0_that_may_mean_never():
    unit, period = np.repeat(np.arange(40), 6), np.tile(np.arange(6), 40)
    since = np.where(unit % 2, 3, 0)
    sales = np.random.default_rng(1).normal(0, 1, unit.size) + (unit % 2) * (period > 2)
    frame = pd.DataFrame({"u": unit, "t": period, "since": since, "sales": sales})
    columns = {"unit": "u", "time": "t", "cohort": "since", "methods": "did_2x2"}
    with pytest.raises(UsageError, match="may be the period 0, or mean never"):
        exp_platform.did(frame, "sales", **columns)
    told = frame.assign(since=frame["since"].where(frame["since"] > 0))
    later = frame.assign(t=frame["t"] + 1, since=np.where(unit % 2, 4, 0))
    rows = [exp_platform.did(one, "sales", **columns)[0] for one in (told, later)]
    assert rows[0].difference == rows[1].difference
    assert rows[0].n_control == 20


@pytest.mark.parametrize(("first", "never"), [(0, -1), (-3, -99)])
def test_did_refuses_a_cohort_before_periods_below_0_that_may_mean_never(first, never):
    unit, period = np.repeat(np.arange(90), 6), np.tile(np.arange(6), 90) + first
    since = np.select([unit % 3 == 1, unit % 3 == 2], [first + 2, first + 4], never)
    sales = np.random.default_rng(1).normal(0, 1, unit.size)
    frame = pd.DataFrame({"u": unit, "t": period, "since": since, "sales": sales})
    columns = {"unit": "u", "time": "t", "cohort": "since"}
    with pytest.raises(UsageError, match=f"may be the period {never}, or mean never"):
        exp_platform.did(frame, "sales", **columns)
    told = frame.assign(since=frame["since"].mask(frame["since"] == never))
    assert exp_platform.staggered(told, "sales", **columns)[0].n_control == 60


def test_did_refuses_a_flag_per_row_where_no_unit_is_seen_twice():
    group, period = np.repeat([0, 1], 40), np.tile([2003, 2004], 40)
    frame = pd.DataFrame({"u": np.arange(80), "t": period})
    frame = frame.assign(on=group * (period == 2004), group=group, sales=frame["u"] % 7)
    with pytest.raises(UsageError, match="no unit is seen twice"):
        exp_platform.did(frame, "sales", unit="u", time="t", treated="on")
    columns = {"unit": "u", "time": "t", "treated": "group", "policy_date": "2004"}
    assert exp_platform.did(frame, "sales", **columns)[0].is_ok


def test_did_refuses_units_without_a_cluster():
    unit, period = np.repeat(np.arange(60), 4), np.tile(np.arange(1, 5), 60)
    sales = np.random.default_rng(1).normal(0, 1, unit.size)
    frame = pd.DataFrame({"u": unit, "t": period, "sales": sales})
    frame["since"], frame["town"] = np.where(unit % 2, 3, 0), unit % 40
    frame["town"] = frame["town"].where(frame["u"] >= 10)
    columns = {"unit": "u", "time": "t", "cohort": "since", "cluster": "town"}
    with pytest.raises(ContractError, match="has no cluster") as told:
        exp_platform.did(frame, "sales", **columns)
    assert "null in 10 units" in str(told.value)


@pytest.mark.parametrize("is_broken", [False, True])
def test_did_of_clusters_in_both_arms_is_told_from_that_of_whole_ones(is_broken):
    unit, period = np.repeat(np.arange(200), 6), np.tile(np.arange(1, 7), 200)
    town = unit // 4
    treated = (unit if is_broken else town) % 2
    random = np.random.default_rng(1)
    sales = random.normal(0, 1, (50, 6))[town, period - 1] + treated * (period > 3)
    sales += random.normal(0, 1, unit.size)
    frame = pd.DataFrame({"u": unit, "t": period, "sales": sales, "town": town})
    frame["since"] = 4 * treated
    columns = {"unit": "u", "time": "t", "cohort": "since", "cluster": "town"}
    rows = {row.method: row for row in exp_platform.did(frame, "sales", **columns)}
    assert rows["did_2x2"].reason == ("CLUSTERS_BROKEN" if is_broken else "")
    assert rows["event_study"].is_ok is not is_broken
    assert rows["callaway_santanna_simple"].n_clusters == 50
    deltas, test = exp_platform.event_study(frame, "sales", **columns)
    assert test.outcome is not None
    assert all(row.standard_error for row in deltas if not row.is_reference)
    assert exp_platform.sensitivity(frame, "sales", **columns).reason == ""


@pytest.mark.parametrize("how", ["cohort", "flag"])
def test_did_takes_no_covariate_from_after_treatment(how):
    unit, period = np.repeat(np.arange(60), 6), np.tile(np.arange(1, 7), 60)
    size = np.random.default_rng(2).normal(0, 1, 60)[unit]
    sales = np.random.default_rng(1).normal(0, 1, unit.size) + size * period
    frame = pd.DataFrame({"u": unit, "t": period, "sales": sales})
    frame["since"], frame["size"] = 4 * (unit % 2), size
    frame["flag"] = ((unit % 2 == 1) & (period >= 4)).astype(int)
    frame.loc[(frame["u"] < 20) & (frame["t"] < 5), "size"] = np.nan
    said = {"cohort": "since"} if how == "cohort" else {"treated": "flag"}
    rows = exp_platform.did(
        frame, "sales", unit="u", time="t", covariates="size", **said
    )
    (row,) = (r for r in rows if r.method == "callaway_santanna_simple")
    assert row.details["left_out"] == {
        "treated": {"units": 10, "why": {"missing_covariate": 10}}
    }
    assert (row.n_control, row.n_treatment) == (30, 20)


@pytest.mark.parametrize("weight", [float("inf"), 0.0])
def test_did_refuses_a_weight_that_is_no_weight(weight):
    unit, period = np.repeat(np.arange(40), 4), np.tile(np.arange(1, 5), 40)
    frame = pd.DataFrame({"u": unit, "t": period, "sales": unit + period})
    frame["since"], frame["w"] = 3 * (unit % 2), np.where(unit == 3, weight, 1.0)
    columns = {"unit": "u", "time": "t", "cohort": "since", "weight": "w"}
    with pytest.raises(ContractError, match="missing, infinite or not above 0"):
        exp_platform.did(frame, "sales", **columns)


@pytest.mark.parametrize(("most", "reason"), [(4, ""), (200, "NEEDS_WILD_BOOTSTRAP")])
def test_did_of_cross_sections_counts_clusters_by_their_size(most, reason):
    town = np.tile(np.repeat(np.arange(50), [most, *[4] * 49]), 4)
    year = np.repeat([2001, 2002, 2003, 2004], town.size // 4)
    sales = np.random.default_rng(1).normal(0, 1, town.size)
    frame = pd.DataFrame({"g": town, "t": year, "since": 2003 * (town < 25)})
    columns = {"time": "t", "cohort": "since", "cluster": "g", "methods": "did_2x2"}
    (row,) = exp_platform.did(frame.assign(sales=sales), "sales", **columns)
    assert (row.reason, row.n_clusters) == (reason, 50)
    assert (row.details["n_clusters_effective"] < 20) is bool(reason)


def test_did_refuses_a_blank_treatment():
    unit, period = np.repeat(np.arange(40), 4), np.tile(np.arange(1, 5), 40)
    frame = pd.DataFrame({"u": unit, "t": period, "sales": unit + period})
    frame["state"] = np.where(unit < 5, " ", np.where(unit % 2, "NJ", "PA"))
    columns = {"unit": "u", "time": "t", "treated": "state=NJ", "policy_date": 3}
    with pytest.raises(UsageError, match="who was treated") as told:
        exp_platform.did(frame, "sales", **columns)
    assert "null in 20 rows of 5 units" in str(told.value)
