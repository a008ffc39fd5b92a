import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import lrcn, torch
from lrcn import networks
assert lrcn.__file__.startswith(sys.argv[1])
net = lrcn.Net(networks.path("lrcn.prototxt"))
assert net(data=torch.zeros(1, 3, 227, 227), end="relu1")["conv1"].shape == (1, 96, 111, 111)
"""


def test_the_wheel_works_without_the_source_tree(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(REPOSITORY)], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert any(name.endswith(".prototxt") for name in names)
    assert not any(name.startswith(("tests/", "scripts/", "csrc/")) for name in names)
    # -I: neither the current directory nor the user's site; the dependencies come from this environment.
    subprocess.run([sys.executable, "-I", "-c", PROGRAM, str(tmp_path / "site")], check=True, cwd=tmp_path)
