"""Small files to import, and what a run of them stored."""

import random

SQL = 'x"; drop table exp_run.delivered; --'
BASE = ("--unit", "user", "--variant", "grp", "--control", "A", "--metric", "spend")
LONG = (
    *("--unit", "user", "--variant", "grp", "--control", "A", "--exposure-ts", "ts"),
    *("--metric-column", "m", "--value-column", "v", "--outcome-ts", "ots"),
)


def arm(i):
    return "AB"[i % 2]


def csv(header, line, n=240):
    return "".join(f"{text}\n" for text in (header, *map(line, range(n))))


def spend(i):
    return f"u{i},{arm(i)},{random.Random(i).gauss(10, 2):.2f}"


GOOD = csv("user,grp,spend", spend)
DATED = "user,grp,spend,ts"


def long_line(i):
    day = 1 + i % 5
    return f"u{i // 4},{arm(i // 4)},2026-01-01,{'ab'[i % 2]},{i % 7},2026-01-0{day}"


LONG_FILE = csv("user,grp,ts,m,v,ots", long_line, 960)


def rows(project, table, **only):
    found = project.tables(table)[table]
    return [r for r in found if all(r[name] == value for name, value in only.items())]


def welch(project, metric="spend", treatment="B"):
    (row,) = rows(
        project,
        "analysis_results",
        metric_name=metric,
        treatment=treatment,
        method="welch_t",
        segment="all",
    )
    return row
