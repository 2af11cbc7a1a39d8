import pytest

# What the assertions of these say where they fail.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("building", "life", "removals", "server", "upgrades"))
)
