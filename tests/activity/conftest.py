import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from activity_material import Material, make_material

from lrcn import cli

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Material:
    """Small networks, weights, and four short videos with their list; not to be changed."""
    return make_material(tmp_path_factory.mktemp("activity"))


@pytest.fixture
def command(monkeypatch, capsys) -> Callable:
    """Run a script of the repository as its user does: command(name, *arguments) -> exit status, stdout, stderr."""

    def call(name: str, *arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        main = runpy.run_path(str(SCRIPTS / name))["main"]
        with pytest.raises(SystemExit) as ending:
            cli.run(main)
        output = capsys.readouterr()
        return ending.value.code, output.out, output.err

    return call
