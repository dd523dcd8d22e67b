"""The floor of the main job: one hand-written DuckDB script, nothing written.

Reads the same raw Parquet, computes the same totals (overall with covariates, daily,
panel means) and the same Welch rows. No validation, no lake, no memo.
"""

import math
import sys
import time

began = time.perf_counter()
import duckdb  # noqa: E402

imported = time.perf_counter()

UNITS = """
create temp table units as
select user_id, variant, exposure_ts, first_seen_ts from (
    select *, row_number() over (partition by user_id order by exposure_ts, variant) r
    from read_parquet('{raw}/exposures.parquet'))
where r = 1"""
ROWS = """
create temp table unit_rows as
select u.user_id, u.variant, o.metric_name, o.value,
    epoch_us(o.outcome_ts) - epoch_us(u.exposure_ts) as offset_us, cast(o.outcome_ts as date) as day
from read_parquet('{raw}/outcomes.parquet') o join units u using (user_id)"""
PRE = "offset_us < 0 and offset_us >= -14 * 86400000000"
POST = "offset_us >= 0"
SOURCES = {
    "conversion": ("conversion", "max", True),
    "revenue_per_user": ("revenue", "sum", True),
    "sessions_per_user": ("sessions", "sum", True),
    "support_contacts_per_user": ("support_contacts", "sum", False),
}


def totals(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple]]:
    found = {}
    for name, (outcome, how, has_covariate) in SOURCES.items():
        zero = "0.0" if how == "max" else "null"
        value = "1.0" if how == "max" else "value"
        pre = f"coalesce({how}(case when {PRE} then {value} else {zero} end), 0)"
        covariate = pre if has_covariate else "null"
        found[name] = con.execute(
            f"""select u.variant, count(*), avg(coalesce(y, 0)), var_samp(coalesce(y, 0)),
                avg(coalesce(x, 0)), var_samp(coalesce(x, 0)),
                covar_samp(coalesce(y, 0), coalesce(x, 0))
            from units u left join (
                select user_id,
                    coalesce({how}(case when {POST} then {value} else {zero} end), 0) y,
                    {covariate} x
                from unit_rows where metric_name = '{outcome}' group by user_id
            ) using (user_id) group by u.variant order by u.variant"""
        ).fetchall()
        con.execute(
            f"""select variant, day, count(*), sum(v), var_samp(v) from (
                select variant, user_id, day, sum(value) v from unit_rows
                where metric_name = '{outcome}' and {POST} group by all)
            group by all"""
        ).fetchall()
        con.execute(
            f"""select variant, day, sum(v), sum(v * v) from (
                select variant, user_id,
                    floor(offset_us / 864e8) as day,
                    sum(value) v
                from unit_rows where metric_name = '{outcome}' group by all)
            group by all"""
        ).fetchall()
    found["revenue_per_session"] = con.execute(
        f"""select u.variant, count(*), avg(coalesce(y, 0)), var_samp(coalesce(y, 0)),
            avg(coalesce(x, 0)), var_samp(coalesce(x, 0)),
            covar_samp(coalesce(y, 0), coalesce(x, 0))
        from units u left join (
            select user_id,
                sum(case when metric_name = 'revenue' then value else 0 end) y,
                sum(case when metric_name = 'sessions' then value else 0 end) x
            from unit_rows where {POST} group by user_id
        ) using (user_id) group by u.variant order by u.variant"""
    ).fetchall()
    return found


def main(raw: str) -> None:
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    con.execute(UNITS.format(raw=raw))
    con.execute(ROWS.format(raw=raw))
    for name, (control, treatment) in totals(con).items():
        error = math.sqrt(control[3] / control[1] + treatment[3] / treatment[1])
        print(f"{name} {treatment[2] - control[2]:.12g} {error:.12g}")
    done = time.perf_counter()
    print(f"imports {imported - began:.3f} work {done - imported:.3f}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
