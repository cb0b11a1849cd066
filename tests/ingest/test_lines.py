"""A quote that opens and does not close breaks its own line; rows of several lines stay whole."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError
from tailorbird.ingest.files import Source, read_source
from tailorbird.ingest.lines import part_lines

HEADER = "id,kind,item,note\n"
ROWS = [f"m{number},view,cup,{number}" for number in range(2, 4001)]


def read(folder: Path, text: str, *, name: str = "t.csv") -> Source:
    (folder / name).write_bytes(text.encode())
    return read_source(folder / name)


def with_line(line: int, text: str, *, rows: list[str] = ROWS) -> str:
    """The file of ROWS, whose line ``line`` is ``text``."""
    return HEADER + "".join(f"{text if at == line else row}\n" for at, row in enumerate(rows, start=2))


@pytest.mark.parametrize(
    "stray", ['"m10,view,cup,10', 'm10,view,"cup,10', 'm10,view,cup,"10', '"m1"0","view,c,1']
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stray_quote_breaks_its_own_line_alone(tmp_path: Path, stray: str, end: str) -> None:
    source = read(tmp_path, with_line(10, stray).replace("\n", end))
    assert [(each.line, each.raw) for each in source.broken] == [(10, stray)]
    assert source.broken[0].reason.startswith("open quote")
    assert source.frame["id"].tolist() == [f"m{number}" for number in range(2, 4001) if number != 10]
    assert source.row_count == len(ROWS)


def test_a_stray_quote_swallows_no_row_up_to_a_quote_far_below(tmp_path: Path) -> None:
    rows = list(ROWS)
    rows[2000] = 'm2002,view,"cup, blue",2002'  # its opening quote would close the stray one
    rows[3000] = 'm3002,view,"a cup\nof\ntea",3002'
    rows[3500] = "too,few"
    rows[3990] = 'm3992,view,cup",3992'  # this one closes the stray quote of line 3902, in its very column
    rows[3900] = 'm3902,view,"cup,3902'
    source = read(tmp_path, with_line(10, 'm10,view,"cup,10', rows=rows))
    # Two line breaks in a cell stand before the lines that follow.
    assert [each.line for each in source.broken] == [10, 3504, 3904]
    kept = source.frame.set_index("id")
    assert kept.loc[["m2002", "m3002", "m3992"], "item"].tolist() == ["cup, blue", "a cup\nof\ntea", 'cup"']
    assert source.row_count == len(ROWS)


def test_stray_quotes_beyond_one_block_of_reading_are_found(tmp_path: Path) -> None:
    rows = [f"m{number},view,cup,{'x' * 200}" for number in range(100_000)]
    rows[500] = f'm500,view,"cup,{"x" * 200}'
    source = read(tmp_path, HEADER + "\n".join(rows) + "\n")
    assert [each.line for each in source.broken] == [502]
    assert len(source.frame) == len(rows) - 1


def test_broken_lines_are_numbered_by_lines_of_the_file(tmp_path: Path) -> None:
    source = read(tmp_path, 'a,b\n\n"one\ntwo",1\n\r\nthree\n"four,4\n5,5\n')
    assert [(each.line, each.raw) for each in source.broken] == [(6, "three"), (7, '"four,4')]
    assert source.frame["a"].tolist() == ["one\ntwo", "5"]


def test_returns_without_line_feeds_end_rows_too(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\r1,2\r3,4\r").frame["a"].tolist() == ["1", "3"]
    source = read(tmp_path, 'a,b\n"one\ntwo",1\n2\r3\r4\r5,6\n')
    assert [each.raw for each in source.broken] == ["2", "3", "4"]
    assert source.frame["a"].tolist() == ["one\ntwo", "5"]


def test_two_strays_that_would_close_each_other_swallow_no_rows_between(tmp_path: Path) -> None:
    rows = list(ROWS)
    rows[20] = 'm22,view,cup",22'  # closes the stray quote of line 10 in its very column
    source = read(tmp_path, with_line(10, 'm10,view,"cup,10', rows=rows))
    assert [each.line for each in source.broken] == [10]
    assert source.row_count == len(ROWS)


def test_prose_with_a_comma_in_every_line_is_one_cell() -> None:
    content = b'item_id,description\ni1,"Soft, warm\nred, blue\nwool, silk\nsmall, large\nby hand, here"\ni2,plain\n'
    parted = part_lines(content, delimiter=",", columns=2)
    assert (parted.broken, parted.content) == ([], content)


@pytest.mark.parametrize("lines", [2, 40, 1000])
def test_a_long_text_in_a_cell_is_one_row(tmp_path: Path, lines: int) -> None:
    text = "\n".join(f'line {number}, of a ""long"" text' for number in range(lines))
    source = read(tmp_path, HEADER + f'a,b,"{text}",c\nd,e,f,g\n')
    assert source.broken == []
    assert source.frame["item"].tolist() == [text.replace('""', '"'), "f"]


def test_quotes_that_are_part_of_a_cell_stay(tmp_path: Path) -> None:
    source = read(tmp_path, 'a,b\n5" disk,"x"y\n"p\nq",7"\n')
    assert source.broken == []
    assert source.frame.to_dict("list") == {"a": ['5" disk', "p\nq"], "b": ["xy", '7"']}


def test_a_tab_separated_and_a_packed_file_are_read_so_too(tmp_path: Path) -> None:
    source = read(tmp_path, with_line(10, 'm10,view,"cup,10').replace(",", "\t"), name="t.tsv")
    assert [each.line for each in source.broken] == [10]
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(with_line(10, 'm10,view,"cup,10').encode()))
    assert [each.line for each in read_source(tmp_path / "t.csv.gz").broken] == [10]


def test_a_header_with_an_open_quote_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        TailorbirdError, match=r"t\.csv, line 1: a quote opens .*id,\"kind.*header is one line"
    ):
        read(tmp_path, 'id,"kind\n' + "1,2\n" * 20)
    with pytest.raises(TailorbirdError, match=r"line 1: a quote opens in the header"):
        read(tmp_path, '"id,kind\n"1,2\n')
    with pytest.raises(TailorbirdError, match=r"line 2: a quote opens in the header"):
        read(tmp_path, '\nid,"kind"s,"x\n' + "1,2\n" * 20)


@pytest.mark.parametrize("content", ['a,b\n1,2\n3,"4', 'a,b\n1,2\n3,"4\nfi', 'a,b\n"1\nx",2\n3'])
def test_a_file_cut_within_a_quoted_cell_is_half_written(tmp_path: Path, content: str) -> None:
    with pytest.raises(TailorbirdError, match=r"line [34] ends in its middle"):
        read(tmp_path, content)


CELLS = st.text(st.sampled_from('ab,"\n\r '), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_what_is_quoted_by_the_rules_is_never_broken(rows: list[tuple[str, ...]]) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = ("a,b,c\n" + "\n".join(quoted) + "\n").encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "tailorbird.ingest.lines._ROWS_WITHIN", 99
        )  # cells that look like rows are tested above
        parted = part_lines(content, delimiter=",", columns=3)
    assert parted.broken == []
    assert parted.content == content
    begins = [2 + sum(text.count("\n") + 1 for text in quoted[:row]) for row in range(len(quoted))]
    assert parted.first.tolist() == [1, *begins]


@given(st.lists(st.sampled_from(['"', "a", ",", "\n", "\r\n", '""', '","', "x,y\n"]), max_size=30))
def test_every_line_is_kept_or_broken(parts: list[str]) -> None:
    content = ("a,b\n" + "".join(parts) + "\n").encode()
    parted = part_lines(content, delimiter=",", columns=2)
    assert parted.content.count(b"\n") + len(parted.broken) == content.count(b"\n")
    assert not {each.line for each in parted.broken} & set(parted.first.tolist())
