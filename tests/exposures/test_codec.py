"""Exposures come back as they were stored, from the live part and from the archive."""

import struct

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError
from tailorbird.exposures.codec import SCHEMA, exposures_of, pack, table_of, unpack
from tailorbird.exposures.exposure import half, in_sample, instant_of, new_recommendation_id
from tailorbird.exposures.rows import EXPOSURES, row_of, table_of_rows
from tailorbird.streams.archive import Archive
from tests.exposures import toy


@given(toy.exposures())
def test_what_is_packed_comes_back_equal(exposure):
    assert unpack(pack(exposure)) == exposure


@given(st.lists(toy.exposures(), max_size=4))
def test_a_table_holds_the_same_exposures(exposures):
    table = table_of(exposures)
    assert table.schema == SCHEMA
    assert exposures_of(table) == exposures


def test_parquet_keeps_them_too(tmp_path):
    exposures = [toy.exposure(n, sampled=n == 1) for n in range(3)]
    pq.write_table(table_of(exposures), tmp_path / "day.parquet", compression="zstd")
    assert exposures_of(pq.read_table(tmp_path / "day.parquet")) == exposures


def test_exposures_that_differ_in_one_number_are_not_equal():
    one = toy.exposure(1)
    vector = one.user_vector.copy()
    vector[0] += 1.0
    assert one != toy.exposure(1, user_vector=vector, recommendation_id=one.recommendation_id)


@pytest.mark.parametrize("cut", [0, 3, 40, 200])
def test_damaged_bytes_are_named(cut):
    with pytest.raises(TailorbirdError, match="damaged"):
        unpack(pack(toy.exposure(1))[:cut])


def test_what_was_stored_before_there_were_experiments_still_reads(tmp_path):
    exposures = [toy.exposure(n) for n in range(3)]
    old = table_of(exposures).drop_columns(["experiments", "took_ms"])
    pq.write_table(old, tmp_path / "old.parquet")
    assert exposures_of(pq.read_table(tmp_path / "old.parquet")) == exposures
    packed = pack(exposures[0])
    (size,) = struct.unpack_from("<I", packed)
    *scalars, experiments, took, items, names, u = orjson.loads(packed[4 : 4 + size])
    assert (experiments, took) == ({}, None)
    head = orjson.dumps([*scalars, items, names, u])
    assert unpack(struct.pack("<I", len(head)) + head + packed[4 + size :]) == exposures[0]


def test_an_archive_of_before_takes_the_new_columns(tmp_path):
    before = [toy.exposure(n) for n in range(2)]
    after = [toy.exposure(2, experiments={"depth": "few"}, took_ms=1.5)]
    placed = table_of_rows([row_of(each) for each in before])
    placed = placed.add_column(0, "offset", pa.array([1, 2])).add_column(
        0, "partition", pa.array([0, 0], pa.int32())
    )
    old = Archive(tmp_path / "archive", EXPOSURES, source="s")
    old.schema = pa.schema([each for each in old.schema if each.name not in ("experiments", "took_ms")])
    old.append(placed.drop_columns(["experiments", "took_ms"]).select(old.schema.names).cast(old.schema))
    archive = Archive(tmp_path / "archive", EXPOSURES, source="s")
    more = table_of_rows([row_of(each) for each in after])
    more = more.add_column(0, "offset", pa.array([3])).add_column(0, "partition", pa.array([0], pa.int32()))
    archive.append(more.select(archive.schema.names).cast(archive.schema))
    read = pa.concat_tables(archive.read(after=0, through=3))
    assert exposures_of(read) == [*before, *after]
    assert archive.forget(before[0].user_key) == 1
    assert exposures_of(pa.concat_tables(archive.read(after=0, through=3))) == [before[1], *after]


@given(st.floats(-6e4, 6e4, width=32))
def test_a_half_is_within_its_promise(value):
    assert abs(float(half(np.array([value]))[0]) - value) <= max(2.0**-11 * abs(value), 6e-8)


def test_ids_sort_by_time_and_tell_it():
    ids = [new_recommendation_id(toy.NOW + n) for n in range(5)]
    assert ids == sorted(ids)
    assert instant_of(ids[2]) == toy.NOW + 2
    assert instant_of("nonsense") is None


def test_the_sample_has_its_share_and_is_the_same_for_everybody():
    ids = [new_recommendation_id(toy.NOW + n) for n in range(20_000)]
    chosen = [each for each in ids if in_sample(each, 0.01)]
    assert 140 <= len(chosen) <= 260
    assert all(in_sample(each, 0.5) for each in chosen)
    assert not any(in_sample(each, 0.0) for each in ids)
    assert all(in_sample(each, 1.0) for each in ids)
