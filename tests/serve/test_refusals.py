"""What is refused: no token, unknown names, SQL in any place a text can stand."""

from unittest.mock import Mock

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from exp_platform.errors import ContractError
from exp_platform.serve.tokens import TokenFile, add_token

QUERY = "/v1/experiments/exp_tiny/query"
ATTACKS = [
    "conversion' or '1'='1",
    "conversion'; drop table exp.metric_calculations; --",
    "conversion') union select * from exp.experiment_registry --",
    "'; copy (select 1) to '/tmp/stolen' --",
    "x' || (select getenv('HOME')) || '",
    "read_csv('/etc/passwd')",
    '"; select 1; --',
    "platform'] or true --",
    "variant, (select 1)",
    "/* */ platform",
    "\uff50latform",
    "platform\\'",
    "$$platform$$",
    "{{ platform }}",
]


def refused(client, code=422, **body):
    answer = client.post(QUERY, json={"metrics": ["conversion"], **body})
    assert answer.status_code == code, answer.text
    return answer.json()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["metric", "dimension", "filter", "variant"])
def test_injection_is_an_unknown_name(client, attack, place):
    body = {
        "metric": {"metrics": [attack]},
        "dimension": {"dimensions": [attack]},
        "filter": {"filters": [{"dimension": attack, "values": ["ios"]}]},
        "variant": {"filters": [{"dimension": "variant", "values": [attack]}]},
    }[place]
    error = refused(client, **body)
    assert "in this experiment" in error["error"]
    assert error["allowed"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_injection_as_a_value_matches_nothing(client, attack):
    condition = {"dimension": "platform", "values": [attack]}
    answer = client.post(
        QUERY, json={"metrics": ["conversion"], "filters": [condition]}
    )
    assert (answer.status_code, answer.json()["rows"]) == (200, [])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"metrics": []}, "at least 1"),
        ({"metrics": ["conversion", "conversion"]}, "twice"),
        ({"dimensions": ["variant", "variant"]}, "twice"),
        ({"clock": "outcome"}, "needs a grain"),
        (
            {"clock": "outcome", "grain": "day", "dimensions": ["platform"]},
            "by variant only",
        ),
        (
            {"clock": "outcome", "grain": "day", "metrics": ["revenue_per_session"]},
            "single day",
        ),
        ({"clock": "age", "grain": "week"}, "needs a grain that it has"),
        ({"clock": "age", "grain": "day", "cumulative": "yes"}, "valid boolean"),
        (
            {"clock": "age", "grain": "day", "dimensions": ["platform"]},
            "by variant only",
        ),
        (
            {"clock": "age", "grain": "day", "metrics": ["revenue_per_session"]},
            "single day",
        ),
        ({"cumulative": True}, "only the age clock"),
        ({"grain": "hour"}, "'day', 'week' or 'month'"),
        ({"limit": 3}, "Extra inputs"),
        ({"filters": [{"dimension": "platform", "values": []}]}, "at least 1"),
        ({"metrics": ["conversion\u0000"]}, "pattern"),
        ({"dimensions": [""]}, "at least 1"),
        ({"filters": [{"dimension": "platform", "values": ["a\u0000"]}]}, "pattern"),
        ({"metrics": ["conversoin"]}, "no metric 'conversoin'"),
    ],
)
def test_wrong_questions_are_told_what_is_wrong(client, body, words):
    assert words in refused(client, **body)["error"]


@pytest.mark.parametrize(
    ("body", "next_step"),
    [
        ({"metrics": ["conversoin"]}, "name it in the plan's metrics"),
        ({"dimensions": ["plattform"]}, "segments are declared in the plan"),
    ],
)
def test_an_unknown_name_says_where_such_names_are_given(client, body, next_step):
    answer = refused(client, **body)
    assert "did you mean" in answer["allowed"]
    assert answer["next_step"].startswith(next_step)


def test_values_of_an_unknown_dimension_are_refused(client):
    answer = client.get("/v1/experiments/exp_tiny/dimensions/plattform")
    assert answer.status_code == 422
    assert "did you mean 'platform'" in answer.json()["allowed"]


def test_unknown_things_are_404(client):
    none = "/v1/experiments/exp_none"
    for url in (none, f"{none}/results", "/v1/metrics/none", "/v1/jobs/none"):
        answer = client.get(url)
        assert answer.status_code == 404, url
        assert answer.json()["error"]


def test_what_broke_is_not_called_missing(make_app, listen, open_client, monkeypatch):
    broken = ContractError("a data file is not readable Parquet")
    for error, code in ((broken, 503), (RuntimeError("a secret of ours"), 500)):
        fail = Mock(side_effect=error)
        monkeypatch.setattr("exp_platform.serve.reading.find_subject", fail)
        with listen(make_app()) as base:
            client = open_client({"Authorization": "Bearer a-token-of-the-tests"}, base)
            answer = client.get("/v1/experiments/exp_tiny")
        assert (answer.status_code, "error" in answer.json()) == (code, True)
        assert "secret" not in answer.text


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic dGVzdHM6", "Bearer"])
def test_without_a_known_token_nothing_is_told(open_client, header):
    stranger = open_client({"Authorization": header} if header else {})
    paths = stranger.get("/openapi.json").json()["paths"]
    assert len(paths) == 11
    for path, methods in paths.items():
        if path == "/healthz":
            assert stranger.get(path).json() == {"status": "ok"}
            continue
        for method in methods:
            answer = stranger.request(method, path, json={"metrics": ["x"]})
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_stranger_s_body_is_not_read(open_client):
    json_type = {"Content-Type": "application/json"}
    stranger = open_client(json_type)
    assert stranger.post(QUERY, content=b"{").status_code == 401


def test_a_body_that_is_too_long_is_refused_before_its_end(client, monkeypatch):
    monkeypatch.setattr("exp_platform.serve.door.LONGEST_BODY", 1000)
    values = {"dimension": "platform", "values": ["x" * 1000]}
    assert "1,000 bytes" in refused(client, 413, filters=[values])["error"]
    refused(client, metrics=["short"])


def test_a_token_file_that_broke_lets_nobody_in(
    make_app, listen, open_client, tmp_path
):
    file = tmp_path / "tokens"
    token = add_token(file, "a")
    app = make_app()
    app.state.tokens = TokenFile(file)
    with listen(app) as base:
        client = open_client({"Authorization": f"Bearer {token}"}, base)
        assert client.get("/v1/experiments").status_code == 200
        file.write_text("not a token", "utf-8")
        answer = client.get("/v1/experiments")
    assert (answer.status_code, str(tmp_path) in answer.text) == (503, False)


@pytest.fixture(scope="module")
def operations(address):
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


def test_any_request_gets_a_documented_answer(operations):
    assert len(operations) == 11
    for operation in operations:
        try_requests(operation)


def try_requests(operation):
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def keeps_the_document(case):
        headers = {"Authorization": "Bearer a-token-of-the-tests"}
        # names that nobody published are well-formed, and refused
        case.call_and_validate(
            headers=headers, excluded_checks=[positive_data_acceptance]
        )

    keeps_the_document()
