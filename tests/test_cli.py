"""How commands end."""

import os
import subprocess
import sys

import pytest

from lrcn import cli

PROGRAM = """
from lrcn.cli import run
from lrcn.errors import Error

def main():
    for number in range({lines}):
        print("line", number)
    {end}

run(main)
"""


def run(*, lines: int, end: str, stdout) -> subprocess.CompletedProcess:
    program = PROGRAM.format(lines=lines, end=end)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True, env=buffered
    )


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("return 0", 0, ""),
        ("raise Error('a thing: it was expected')", cli.EXIT_USER_ERROR, "error: a thing: it was expected\n"),
        ("open('nowhere/file')", cli.EXIT_USER_ERROR, "error: nowhere/file: No such file or directory\n"),
        ("raise KeyboardInterrupt", cli.EXIT_INTERRUPTED, "interrupted\n"),
    ],
)
def test_ends(end, status, said):
    result = run(lines=1, end=end, stdout=subprocess.PIPE)
    assert (result.returncode, result.stdout, result.stderr) == (status, "line 0\n", said)


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "on the way"])
def test_a_reader_that_has_enough(lines):
    reader = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    reader.wait()
    result = run(lines=lines, end="return 0", stdout=reader.stdin)
    reader.stdin.close()
    assert (result.returncode, result.stderr) == (cli.EXIT_FAILURE, "")


def test_a_full_disk_behind_stdout():
    with open("/dev/full", "w") as full:
        result = run(lines=1, end="return 0", stdout=full)
    assert (result.returncode, result.stderr) == (
        cli.EXIT_FAILURE, "error: standard output: No space left on device\n"
    )  # fmt: skip
