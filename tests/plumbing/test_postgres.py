"""What is said of a database that cannot be had."""

import pytest

from tailorbird.plumbing.postgres import PostgresAwayError, connect


def test_an_address_that_is_no_address_is_shown_without_its_password() -> None:
    with pytest.raises(PostgresAwayError) as refused:
        connect("postgresql://somebody:hush@[::1/shop")
    assert "hush" not in str(refused.value)
