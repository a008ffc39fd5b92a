import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lrcn import cli

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded results beside the repository; tests that want it are skipped without it."""
    path = REPOSITORY.parent / "shared"
    if not (path / "goldens").is_dir():
        pytest.skip("no recorded results beside the repository")
    return path


@pytest.fixture(scope="session")
def data() -> Path:
    """The small cases that belong to the project."""
    return Path(__file__).resolve().parent / "data"


class Ended(NamedTuple):
    """A command that has run."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch, capsys) -> Callable:
    """Run a script of the repository as its user does: command(name, *arguments)."""

    def call(name: str, *arguments) -> Ended:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        main = runpy.run_path(str(REPOSITORY / "scripts" / name))["main"]
        with pytest.raises(SystemExit) as ending:
            cli.run(main)
        output = capsys.readouterr()
        return Ended(ending.value.code, output.out, output.err)

    return call
