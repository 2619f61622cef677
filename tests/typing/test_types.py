"""Type checkers are run on the programs beside this file; `nox -s typing` runs them on all there is."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# As pyright shows them, the names of modules aside.
CREATE = (
    "(customer_id: str, *, name: str | None | Unset, email: str | None | Unset, "
    "metadata: dict[str, Any] | None | Unset, billing_address: BillingAddress | None | Unset)"
)
EACH = "(*, search: str | None, page: int | None, page_size: int | None)"
REPORT = (
    "(value: int, customer_id: str, feature_id: str, behaviour: UsageBehaviour, *, "
    "resource_id: str | None | Unset)"
)
SIGNATURES = [
    "(customer_id: str) -> Customer",
    f"{CREATE} -> Customer",
    f"{EACH} -> Stream[Customer]",
    f"{REPORT} -> UsageReport",
    "(customer_id: str) -> Customer",
    f"{CREATE} -> Customer",
    f"{EACH} -> Rows[Customer]",
]


@pytest.fixture(scope="module")
def checked() -> dict[str, str]:
    """What each type checker that is installed says, by its name."""
    return {}


def said_by(checker: str, checked: dict[str, str]) -> str:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: `nox -s typing` has it")
    if checker not in checked:
        done = subprocess.run(
            [sys.executable, "-m", checker, "tests/typing"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        checked[checker] = done.stdout + done.stderr
    return checked[checker]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_programs_are_right_and_wrong_where_they_should_be(checker: str, checked: dict[str, str]) -> None:
    lines = said_by(checker, checked).splitlines()
    errors = [line for line in lines if "error:" in line.replace(" error ", " error: ")]
    assert [line for line in errors if re.search(r"tests.typing", line)] == []
    assert any("revealed.py" in line for line in lines), "\n".join(lines)  # it did run


def plain(signature: str) -> str:
    """A signature in one spelling, whichever checker it comes from."""
    signature = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", signature)  # modules
    signature = re.sub(r" = [^,()]+(?=[,)])| =(?=[,)])", "", signature)  # defaults
    signature = re.sub(r"Coroutine\[\w+, \w+, (\w+)\]", r"\1", signature)
    return signature.removeprefix("def ").replace("Unset | None", "None | Unset")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_methods_show_their_parameters_and_answers(checker: str, checked: dict[str, str]) -> None:
    said = said_by(checker, checked)
    found = re.findall(r'revealed\.py:\d+.*(?:Revealed type is|Type of "[\w.]+" is) "(.*)"', said)
    assert [plain(each) for each in found] == SIGNATURES
