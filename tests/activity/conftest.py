import pytest
from activity_material import Material, make_material


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Material:
    """Small networks, weights, and four short videos with their list; not to be changed."""
    return make_material(tmp_path_factory.mktemp("activity"))
