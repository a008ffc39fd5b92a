from pathlib import Path

import pytest

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
