"""`configs/<env>.yaml`: strict, with suggestions, secrets from the environment only."""

import os
import re
from pathlib import Path

import pytest

from exp_platform.config import FailureModes, load_settings
from exp_platform.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[1]
MODES = set(FailureModes.model_fields)


@pytest.fixture
def load(tmp_path):
    """Load a configuration written as text or bytes."""

    def read(content):
        file = tmp_path / "configs" / "dev.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_settings(file)

    return read


def test_load_settings_resolves_paths_beside_the_configs_folder(load, tmp_path):
    settings = load("environment: dev\npaths: {raw: here/raw, memos: /abs/memos}\n")
    assert settings.paths.raw == tmp_path / "here" / "raw"
    assert settings.paths.memos == Path("/abs/memos")
    assert settings.root == tmp_path


def test_load_settings_reads_a_tilde_as_home(load, tmp_path, monkeypatch):
    content = "environment: dev\npaths: {raw: ~/lake/raw}\n"
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    ada = load(content)
    assert ada.paths.raw == tmp_path / "ada" / "lake" / "raw"
    monkeypatch.setenv("HOME", str(tmp_path / "bob"))
    assert load(content).config_hash == ada.config_hash
    with pytest.raises(UsageError, match=r"paths\.raw: no such user's home folder"):
        load("environment: dev\npaths: {raw: ~nobody-of-that-name/raw}\n")


def test_load_settings_hash_follows_the_content_not_the_layout(load):
    first = load("environment: dev\nengine: {threads: 2}\n").config_hash
    assert (
        load("# a word\nengine:\n  threads: 2\nenvironment: dev\n").config_hash == first
    )
    assert load("environment: dev\nengine: {threads: 3}\n").config_hash != first


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("{}", {"duckdb"}),
        ("{kind: spark}", {"duckdb", "spark"}),
        ("{kind: spark, stages: {metrics: duckdb, ingest: duckdb}}", {"duckdb"}),
        ("{stages: {metrics: spark}}", {"duckdb", "spark"}),
        ("{stages: {ingest: spark}}", {"duckdb", "spark"}),
    ],
)
def test_engine_of_a_stage_is_its_own_or_the_kind(load, engine, expected):
    settings = load(f"environment: dev\nengine: {engine}\n").engine
    assert settings.kinds == expected
    assert {settings.of("metrics"), settings.of("ingest"), "duckdb"} == expected
    assert settings.of("dq") == "duckdb"


def test_engine_trino_needs_its_address(load):
    remote = (
        "remote: {catalog: 'postgresql+pg8000://h/d', warehouse: 's3://warehouse',"
        " raw: 's3://raw'}\n"
    )
    with pytest.raises(UsageError, match="engine trino needs its address"):
        load(f"environment: dev\n{remote}engine: {{kind: trino}}\n")
    named = "engine: {kind: trino, trino: 'http://h:8080'}\n"
    assert load(f"environment: dev\n{remote}{named}").engine.of("metrics") == "trino"


BROKEN = {
    "environment: dev\npath: {}\n": ("unknown key 'path'", "did you mean 'paths'?"),
    "environment: dev\npaths: {row: x}\n": ("'paths.row'", "did you mean 'raw'?"),
    "environment: dev\nengine: {memory: 1GB}\n": ("memory", "'memory_limit'"),
    "environment: dev\nengine: {memory_limit: lots}\n": ("memory_limit", "'lots'"),
    "environment: dev\nexperiments: {a: {day: 3, n_users: 5}}\n": ("day", "'days'"),
    "environment: dev\nexperiments: {a: {days: 3, n_users: 5, failure_modes: {bots: 1}}}\n": (
        "bots",
        "'bot_share'",
    ),
    "environment: dev\nexperiments: {a: {days: 0, n_users: 5}}\n": ("days", "0"),
    "environment: dev\nexperiments: {a: {days: 3, n_users: many}}\n": (
        "n_users",
        "'many'",
    ),
    "environment: dev\nexperiments: {a: {days: 3, n_users: 5, assignment: policy}}\n": (
        "policy_day",
    ),
    "environment: dev\nengine: {kind: sparc}\n": ("engine.kind", "'duckdb', 'spark'"),
    "environment: dev\nengine: {stages: {dq: spark}}\n": ("dq", "ingest"),
    "environment: dev\nengine: {stages: {ingest: trino}}\n": (
        "trino cannot compute ingest: choose duckdb or spark",
    ),
    "environment: dev\nengine: {stages: {metrics: dukdb}}\n": (
        "engine.stages.metrics",
        "'dukdb'",
    ),
    "environment: dev\nengine: {kind: trino}\n": ("engine trino needs a shared lake",),
    "engine: {}\n": ("environment",),
    "": ("the whole file", "dictionary"),
    "- a\n- b\n": ("the whole file", "dictionary"),
    "environment: [dev\n": ("not valid YAML", "line"),
    "environment: dev\nenvironment: prod\n": ("environment", "twice"),
    "environment: &a [*a]\n": ("not valid YAML",),
    "? [a, b]\n: c\nenvironment: dev\n": ("not valid YAML", "unhashable"),
    "experiments: {a: {start_date: 2026-02-30}}\n": ("not valid YAML", "day is out"),
    "environment: dev\nroot: here\n": ("unknown key 'root'",),
    "environment: dev\nengine: {threads: 100000}\n": ("threads", "1024"),
    f"environment: dev\nexperiments: {{a: {{days: 3, n_users: 5, seed: {2**63}}}}}\n": (
        "seed",
    ),
    "environment: dev\nexperiments: {a: {days: 3, n_users: 5, revenue_sd: .inf}}\n": (
        "revenue_sd",
        "finite",
    ),
    "environment: dev\nexperiments: {a: {days: 3, n_users: 5, failure_modes: "
    "{missing_day: 9}}}\n": ("missing_day and spike_day must not be more than days",),
    "environment: ${EXP_NO_SUCH_VARIABLE}\n": (
        "EXP_NO_SUCH_VARIABLE is not set",
        "export EXP_NO_SUCH_VARIABLE=",
    ),
    b"environment: \xff\xfe\n": ("cannot read", "utf-8"),
}


@pytest.mark.parametrize("content", BROKEN)
def test_load_settings_refuses_and_says_what_is_allowed(load, content):
    with pytest.raises(UsageError) as caught:
        load(content)
    message = str(caught.value)
    assert "dev.yaml" in message
    for word in BROKEN[content]:
        assert word in message


def test_load_settings_without_file_names_exp_init(tmp_path):
    with pytest.raises(UsageError, match="exp init"):
        load_settings(tmp_path / "configs" / "dev.yaml")


def test_load_settings_of_a_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        load_settings(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_load_settings_of_an_unreadable_file_is_refused(tmp_path):
    file = tmp_path / "dev.yaml"
    file.write_text("environment: dev\n", "utf-8")
    file.chmod(0)
    with pytest.raises(UsageError, match="Permission denied"):
        load_settings(file)


def test_load_settings_takes_secrets_from_the_environment(load, monkeypatch):
    monkeypatch.setenv("EXP_TEST_PLACE", "elsewhere")
    settings = load("environment: dev\npaths: {raw: 'data/${EXP_TEST_PLACE}/raw'}\n")
    assert settings.paths.raw.parts[-3:] == ("data", "elsewhere", "raw")


SHARED = """\
environment: dev
remote: {catalog: "${EXP_CATALOG_URI}", warehouse: s3://warehouse, raw: s3://raw}
"""


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://exp:se/cret@db/lake",
        "postgresql+pg8000://exp:se@cret@db:5432/lake",
        "postgresql+pg8000://exp:secret@db:many/lake",
        "postgresql+pg8000://exp:secret@db:5432",
        "postgresql+pg8000://exp@db/lake?password=secret",
        "postgresql+pg8000://exp:secret@db/lake?sslmode=require",
        "postgresql+pg8000://exp:secret@db/lake\n",
        "",
    ],
)
def test_url_of_the_catalog_is_refused_without_its_password(load, monkeypatch, url):
    monkeypatch.setenv("EXP_CATALOG_URI", url)
    with pytest.raises(UsageError) as caught:
        load(SHARED)
    assert "cret" not in str(caught.value)
    assert "%40" in str(caught.value) or "pg8000://" not in url or "\n" in url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+pg8000://exp:p%40 #?:/%25@127.0.0.1:5432/lake",
        "postgresql+pg8000://exp@[::1]/lake?application_name=exp",
        "postgresql+pg8000://exp@/lake?unix_sock=/run/postgresql/.s.PGSQL.5432",
        "https://catalog.example.org/iceberg",
    ],
)
def test_url_of_the_catalog_is_taken(load, monkeypatch, url):
    monkeypatch.setenv("EXP_CATALOG_URI", url)
    assert load(SHARED).remote.catalog == url


def test_missing_key_does_not_show_the_password_beside_it(load, monkeypatch):
    url = "postgresql+pg8000://exp:secret@db:5432/lake"
    monkeypatch.setenv("EXP_CATALOG_URI", url)
    with pytest.raises(UsageError, match=r"remote\.raw") as caught:
        load(SHARED.replace(", raw: s3://raw", ""))
    assert "secret" not in str(caught.value)
    assert "exp:***@db" in str(caught.value)


@pytest.mark.parametrize("url", ["http://:", "http://db:many", "http://db:99999"])
def test_url_of_trino_that_names_no_server_is_refused(load, monkeypatch, url):
    monkeypatch.setenv("EXP_CATALOG_URI", "https://catalog.example.org")
    with pytest.raises(UsageError, match=r"needs its address|[Pp]ort"):
        load(f"{SHARED}engine: {{kind: trino, trino: '{url}'}}\n")


def test_empty_path_is_refused(load, monkeypatch):
    monkeypatch.setenv("EXP_RAW", "")
    with pytest.raises(UsageError, match=r"paths\.raw: .*not empty"):
        load("environment: dev\npaths: {raw: '${EXP_RAW}'}\n")


def test_scenario_that_is_absent_names_the_nearest(load):
    settings = load("environment: dev\nexperiments: {exp_a: {days: 3, n_users: 5}}\n")
    with pytest.raises(UsageError, match="did you mean 'exp_a'"):
        settings.scenario("exp_aa")


def test_dev_configuration_has_one_scenario_for_every_failure_mode():
    settings = load_settings(REPOSITORY / "configs" / "dev.yaml")
    assert len(settings.experiments) >= 10
    for name in ("exp_checkout_button_001", "exp_add_cart_002", "exp_pricing_test_003"):
        assert name in settings.experiments
    plain = FailureModes()
    used = {
        mode
        for scenario in settings.experiments.values()
        for mode in MODES
        if getattr(scenario.failure_modes, mode) != getattr(plain, mode)
    }
    assert used == MODES


def test_prod_configuration_holds_no_secret(monkeypatch):
    file = REPOSITORY / "configs" / "prod.yaml"
    names = set(re.findall(r"\$\{([A-Z_0-9]+)\}", file.read_text("utf-8")))
    assert names
    for name in names:
        monkeypatch.setenv(name, "/somewhere")
    assert load_settings(file).environment == "prod"
