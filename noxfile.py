"""What can be run here; `nox -l` lists it."""

import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

import nox

nox.needs_version = ">=2025.10.16"
nox.options.default_venv_backend = "uv|virtualenv"
# An interpreter that is not installed is skipped, also where CI is set, and never fetched.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"
nox.options.sessions = ["lint", "typing", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
# Where coverage is measured. Up to 3.11 a tracer is not told that a coroutine goes on by an exception, such
# as a time limit, and takes the lines after it for somebody else's.
COVERED = "3.13"
# One more than the cores of a small machine, as some tests wait; `-n 8` among the arguments replaces it,
# and `-n 0` is for debuggers.
SHARED = ("-n", "3", "--dist", "worksteal")
ENV = {
    # All have to give the tests the same names: sets have one order in a run, and another in the next.
    "PYTHONHASHSEED": str(secrets.randbelow(2**32)),
    # Images like to set this. Then each of hundreds of processes that tests start compiles all it imports.
    "PYTHONDONTWRITEBYTECODE": None,
}


def install(session: nox.Session, *groups: str) -> None:
    """Install the tree with its extras and the named dependency groups, in one resolution."""
    # Editable, so that coverage and tracebacks name the files one edits; `wheel` tests what is shipped.
    session.install("-e", ".[cli,redis]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Every test on each installed Python, on one with branch coverage; arguments go to pytest."""
    install(session, "tests")
    if session.python != COVERED:  # it would be the same again, and half as slow once more
        session.run("pytest", *SHARED, *session.posargs, env=ENV)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *SHARED, *session.posargs, env=ENV)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def typing(session: nox.Session) -> None:
    """Check both packages with mypy and pyright, and what both say of the programs in tests/typing."""
    install(session, "tests", "typing")
    session.run("mypy", *session.posargs)
    session.run("pyright", *session.posargs)
    session.run("pytest", "tests/typing")


@nox.session
def lint(session: nox.Session) -> None:
    """Check rules and format with ruff; `-- --fix` mends what ruff can."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def generate(session: nox.Session) -> None:
    """Write the blocking client and the index of areas; `-- --check` only compares."""
    install(session)
    session.run("python", "-m", "kelviq_sync._generate", *session.posargs)


@nox.session
def contract(session: nox.Session) -> None:
    """Compare the requests and models with Kelviq's published OpenAPI file."""
    install(session, "tests")
    session.run("pytest", "tests/contract", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run the long crash tests, which `tests` leaves out."""
    install(session, "tests")
    session.run("pytest", "-m", "slow", *session.posargs, env=ENV)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; arguments go to their runner."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Execute every snippet of the README and the guides."""
    install(session, "tests")
    session.run("pytest", "tests/test_readme.py", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and try it in an environment that has never seen the tree."""
    session.install("build")
    with TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--outdir", folder)
        (built,) = Path(folder).glob("*.whl")
        session.run("python", "-m", "venv", f"{folder}/venv")
        scripts = Path(folder, "venv", "bin")
        python = str(scripts / "python")
        session.run(python, "-m", "pip", "install", "--quiet", str(built), external=True)
        # -I keeps the tree off the path. Without extras first: the core must not need them.
        session.run(python, "-I", "-c", "import kelviq_async, kelviq_sync", external=True)
        session.run(python, "-m", "pip", "install", "--quiet", f"{built}[cli]", external=True)
        session.run(str(scripts / "kelviq-async"), "--help", external=True)
