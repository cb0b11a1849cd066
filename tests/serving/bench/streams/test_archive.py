"""The archive's benchmark measures the same work on both sides."""

import json

import pytest
from click.testing import CliRunner

from serving.bench.streams.archive import archive


@pytest.mark.slow
def test_both_sides_read_find_and_delete_the_same_rows() -> None:
    done = CliRunner().invoke(archive, ["--events", "10000", "--json"])
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    counted = ("read four columns", "read the last month", "find one row", "delete one person")
    for what in counted:
        one, other = [each["rows"] for each in results if each["what"] == what]
        assert one == other > 0
    assert results[2]["rows"] == 50_000
