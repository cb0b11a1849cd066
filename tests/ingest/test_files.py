import gzip
from pathlib import Path

import pandas as pd
import pytest

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.ingest.files import read_source

TABLE = pd.DataFrame({"user": ["a", "b"], "n": [1, 2]})


def write(path: Path) -> Path:
    if path.name.endswith(".parquet"):
        TABLE.to_parquet(path, index=False)
    elif ".jsonl" in path.name:
        TABLE.to_json(path, orient="records", lines=True)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return path


@pytest.mark.parametrize(
    "name", ["t.parquet", "t.csv", "t.tsv", "t.jsonl", "t.csv.gz", "t.jsonl.gz", "T.CSV"]
)
def test_every_format_gives_the_same_table(tmp_path: Path, name: str) -> None:
    source = read_source(write(tmp_path / name))
    assert source.frame["user"].tolist() == ["a", "b"]
    assert source.frame["n"].astype(int).tolist() == [1, 2]
    assert source.broken == []
    assert source.row_count == 2


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz", "t.jsonl.gz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_half_written_file_is_named_with_the_remedy(tmp_path: Path, name: str, share: float) -> None:
    path = write(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(TailorbirdError, match=rf"{name}.* half written .*write the file again"):
        read_source(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.jsonl", '{"a": 1}\n{"a": 2'), ("t.csv", "a,b,c\n1,2,3\n4,5"), ("t.tsv", "a\tb\n1\t2\n3")],
)
def test_a_text_that_ends_in_a_row_is_half_written(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TailorbirdError, match=r"line [23] ends in its middle"):
        read_source(tmp_path / name)


def test_a_bad_line_in_the_middle_is_kept_aside_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n4,5\n")
    (tmp_path / "t.jsonl").write_text('{"a": 1, "b": 2}\n{oops\n[7]\n\n{"a": 4, "b": 5}\n')
    csv, lines = read_source(tmp_path / "t.csv"), read_source(tmp_path / "t.jsonl")
    for source in (csv, lines):
        assert source.frame.astype(int).to_dict("list") == {"a": [1, 4], "b": [2, 5]}
    assert [(one.line, one.raw) for one in csv.broken] == [(3, "3")]
    assert csv.broken[0].reason == "wrong number of columns: 1, not 2"
    assert [(one.line, one.raw) for one in lines.broken] == [(2, "{oops"), (3, "[7]")]
    assert lines.row_count == 4


def test_a_csv_cell_may_hold_a_newline_and_a_missing_last_newline_is_fine(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n"one\ntwo",2\nthree,')
    source = read_source(tmp_path / "t.csv")
    assert source.frame["a"].tolist() == ["one\ntwo", "three"]
    assert source.broken == []


@pytest.mark.parametrize("content", ["", "\n \n"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_an_empty_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TailorbirdError, match="empty"):
        read_source(tmp_path / name)


def test_a_missing_file_and_an_unknown_suffix_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_source(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="no file"):
        read_source(tmp_path)
    (tmp_path / "t.xlsx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"t\.xlsx.*\.parquet"):
        read_source(tmp_path / "t.xlsx")


def test_something_else_under_a_parquet_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(gzip.compress(b"not parquet"))
    with pytest.raises(TailorbirdError, match="damaged"):
        read_source(tmp_path / "t.parquet")


def test_text_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a,b\ncafé,2\n".encode("latin-1"))
    with pytest.raises(TailorbirdError, match=r"t\.csv is not UTF-8.*save the file as UTF-8"):
        read_source(tmp_path / "t.csv")


def test_a_csv_keeps_ids_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfid,name\r\n007,NA\r\n,NULL\r\n")
    frame = read_source(tmp_path / "t.csv").frame
    assert frame["id"].tolist() == ["007", None]
    assert frame["name"].tolist() == ["NA", None]


def test_long_ids_with_gaps_and_an_index_and_categories_survive_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "user": pd.array([123456789012345678, None], dtype="Int64"),
            "kind": pd.Categorical(["x", "y"]),
            "name": pd.array(["a", None], dtype="string"),
        },
        index=pd.Index([5, 6], name="item"),
    )
    frame.to_parquet(tmp_path / "t.parquet")
    read = read_source(tmp_path / "t.parquet").frame
    assert read["user"].tolist() == [123456789012345678, None]
    assert read["kind"].tolist() == ["x", "y"]
    assert read["name"].tolist() == ["a", None]
    assert read["item"].tolist() == [5, 6]
    assert read.index.tolist() == [0, 1]


def test_a_header_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n")
    assert read_source(tmp_path / "t.csv").frame.columns.tolist() == ["a", "b"]
