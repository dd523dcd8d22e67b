"""The shape of the project, held by tests: layers, sizes, words, locks."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import exp_platform.schemas

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "exp_platform"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 500
MOST_FUNCTION_LINES = 60
# An argument for each flag, handed on by name.
LONG_FUNCTIONS = {"import_experiment": 100}
HEAVY = ("duckdb", "pyarrow", "pyiceberg", "numpy", "scipy", "pydantic", "pandas")
# The hosts of package registries, in pieces so that this file does not name them.
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("conda", "anaconda", "org"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("proxy", "golang", "org"),
    )
)


def name_of(path):
    return path.relative_to(REPOSITORY).as_posix()


def functions_of(path):
    tree = ast.parse(path.read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def is_protocol(node):
    """Members of a protocol are described by the classes that have them."""
    return any(
        isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases
    )


def length_of(function):
    """Lines of a function's body, its docstring left out."""
    body = function.body[bool(ast.get_docstring(function)) :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def committed_files():
    done = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in done.stdout.decode().split("\0") if name]


def test_import_contracts_hold():
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("import-linter is not installed beside this Python")
    done = subprocess.run(
        [tool, "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_schemas_is_the_module_beside_the_folder():
    assert not (PACKAGE / "schemas" / "__init__.py").exists()
    assert Path(exp_platform.schemas.__file__) == PACKAGE / "schemas.py"


def test_schemas_folder_holds_json_schema_only():
    names = {path.name for path in (PACKAGE / "schemas").iterdir()}
    assert all(name.endswith(".schema.json") for name in names - {"__pycache__"})


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_small_and_says_what_it_is(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(text))
    long = {f.name: length_of(f) for f in functions_of(path)}
    assert [
        (name, lines)
        for name, lines in long.items()
        if lines > LONG_FUNCTIONS.get(name, MOST_FUNCTION_LINES)
    ] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_functions_have_a_docstring(path):
    tree = ast.parse(path.read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    public = [
        n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")
    ]
    public += [
        method
        for node in list(public)
        if isinstance(node, ast.ClassDef) and not is_protocol(node)
        for method in node.body
        if isinstance(method, kinds) and not method.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=name_of)
def test_room_exports_at_most_fifteen_names(path):
    tree = ast.parse(path.read_text("utf-8"))
    lists = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__all__"
    ]
    # the vocabulary of all rooms, and the front door to their public functions
    most = 100 if path.parent.name in ("records", PACKAGE.name) else 15
    assert all(len(names.elts) <= most for names in lists)
    defined = [n.name for n in functions_of(path)]
    assert defined in ([], ["__getattr__", "__dir__"])


def test_module_names_say_a_subject():
    banned = {"utils", "util", "common", "misc", "helpers", "manager", "handler"}
    assert not banned & {path.stem for path in MODULES}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("exp_platform", HEAVY),
        ("exp_platform.errors", HEAVY),
        ("exp_platform.records", HEAVY),
        ("exp_platform.schemas", ("duckdb", "pyarrow", "pyiceberg", "numpy", "pandas")),
        ("exp_platform.config", ("duckdb", "pyarrow", "pyiceberg", "numpy", "pandas")),
        ("exp_platform.cli", ("duckdb", "pyarrow", "pyiceberg", "numpy", "pandas")),
        ("exp_platform.pipelines.run_end_to_end", ("duckdb", "pyiceberg", "pandas")),
        (
            "exp_platform.analysis.panels",
            ("duckdb", "pyarrow", "pyiceberg", "pandas", "pydantic", "yaml"),
        ),
    ],
)
def test_import_is_cheap(module, heavy):
    code = f"import sys, {module}; print(*(n for n in {heavy} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_only_the_lake_names_engine_libraries():
    pattern = re.compile(r"^\s*(?:import|from) (?:duckdb|pyiceberg)\b", re.MULTILINE)
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        if pattern.search(path.read_text("utf-8"))
    }
    assert users == {"lake"}


def test_only_config_reads_the_configs_folder():
    users = [
        name_of(path)
        for path in MODULES
        if re.search(r"\byaml\.(?:safe_)?load", path.read_text("utf-8"))
    ]
    assert users == ["exp_platform/config.py", "exp_platform/metrics/positions.py"]


def test_no_file_names_a_package_registry():
    named = []
    for path in committed_files():
        if not path.is_file():
            continue
        content = path.read_bytes().lower()
        named += [f"{name_of(path)}: {h}" for h in HOSTS if h.encode() in content]
    assert named == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_pins_with_hashes_and_names_no_index(name):
    text = (REPOSITORY / name).read_text("utf-8")
    assert not re.search(
        r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links)", text, re.MULTILINE
    )
    assert "://" not in text
    pins = re.findall(r"^[A-Za-z0-9][^\n]*", text, re.MULTILINE)
    assert pins
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,_ -]+\])?==[^\s\\]+", pin), pin
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_lock_covers_the_declared_dependencies():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    text = (REPOSITORY / "requirements.lock").read_text("utf-8")
    locked = {
        pin.lower().replace("_", "-")
        for pin in re.findall(r"^([A-Za-z0-9._-]+)", text, re.MULTILINE)
    }
    for line in project["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9._-]+", line)[0].lower().replace("_", "-")
        assert name in locked
