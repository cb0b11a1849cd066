"""How exposures are stored: as bytes in the live part of the stream, as a table that others can read in the archive."""

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

import numpy as np
import orjson
import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.exposures.exposure import Z_STEPS, Exposure, half
from tailorbird.models.ranker.ranker import GROUPS, Inputs

MICROSECONDS = 1_000_000
_TIME = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field("recommendation_id", pa.string(), nullable=False),
        pa.field("instant", _TIME, nullable=False),
        pa.field("scored_at", _TIME, nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("anonymous_id", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("items", pa.list_(pa.string()), nullable=False),
        pa.field("first_position", pa.int32(), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("propensities", pa.list_(pa.float32()), nullable=False),
        pa.field("source_names", pa.list_(pa.string()), nullable=False),
        pa.field("ranks", pa.list_(pa.int16()), nullable=False),  # item by item, a number a source
        pa.field("z_scores", pa.list_(pa.float32()), nullable=False),  # likewise
        pa.field("user_vector", pa.list_(pa.float32()), nullable=False),
        pa.field("profile_version", pa.string(), nullable=False),
        pa.field("fallback", pa.string(), nullable=False),
        pa.field("partial", pa.bool_(), nullable=False),
        pa.field("removed", pa.string(), nullable=False),  # JSON: rule to count
        pa.field("removed_items", pa.string()),  # JSON: rule to item ids
        pa.field("request", pa.string()),  # JSON object
        pa.field("context", pa.string()),  # JSON object
        pa.field("experiments", pa.string()),  # JSON: experiment to variant
        pa.field("took_ms", pa.float32()),
        pa.field("inputs", pa.binary()),  # of the sample: shapes as JSON, then float32 numbers
    ]
)
"""The archive's columns. Rounded numbers repeat, so dictionaries and zstd keep them in a few bits each."""

_HEAD = struct.Struct("<I")
_SCALARS = tuple(kind.name for kind in SCHEMA if not pa.types.is_list(kind.type) and kind.name != "inputs")
_scalars_of = attrgetter(*_SCALARS)
_TIMES = ("instant", "scored_at")
_JSON = ("removed", "removed_items", "request", "context", "experiments")
_LATER: Mapping[str, object] = {"experiments": {}, "took_ms": None}
"""Properties that the first exposures were stored without, and what these have; in the order of SCHEMA, at its end."""
_LISTS = ("scores", "propensities", "ranks", "z_scores", "user_vector")
_lists_of = attrgetter(*_LISTS)


_ROUNDED: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "scores": half,
    "propensities": np.asarray,
    "ranks": np.asarray,
    "z_scores": lambda scores: np.rint(scores.astype(np.float32) * Z_STEPS) / Z_STEPS,
    "user_vector": half,
}


def pack(exposure: Exposure) -> bytes:
    """Write an exposure as bytes: a JSON head, then its numbers as they are: rounding is left to whoever archives.

    Raises:
        TailorbirdError: the request's context is not JSON.
    """
    e = exposure
    head = (*_scalars_of(e), e.items, e.source_names, len(e.user_vector))
    try:
        text = orjson.dumps(head)
    except TypeError as error:
        raise TailorbirdError(
            f"exposure {e.recommendation_id!r} holds what is not JSON: {error}",
            remedy="use text, numbers, booleans, lists and objects in the context",
        ) from error
    return b"".join(
        (
            _HEAD.pack(len(text)),
            text,
            *[numbers.tobytes() for numbers in _lists_of(e)],
            b"" if e.inputs is None else _pack_inputs(e.inputs),
        )
    )


def unpack(data: bytes) -> Exposure:
    """Read what :func:`pack` wrote.

    Raises:
        TailorbirdError: the bytes are damaged.
    """
    try:
        (size,) = _HEAD.unpack_from(data)
        at = _HEAD.size + size
        *scalars, shown, names, u = orjson.loads(data[_HEAD.size : at])
        if not 0 <= len(_SCALARS) - len(scalars) <= len(_LATER):
            raise ValueError(f"{len(scalars)} properties")
        head = {**_LATER, **dict(zip(_SCALARS, scalars, strict=False))}
        items, sources = tuple(shown), tuple(names)
        n, s = len(items), len(sources)
        numbers: list[np.ndarray] = []
        for kind, count in (("<f4", n), ("<f4", n), ("<i2", n * s), ("<f2", n * s), ("<f4", u)):
            numbers.append(np.frombuffer(data, kind, count, at))
            at += numbers[-1].nbytes
        scores, propensities, ranks, z_scores, vector = numbers
        head["removed_items"] = {rule: tuple(ids) for rule, ids in head["removed_items"].items()}
        return Exposure(
            **head,
            items=items,
            source_names=sources,
            scores=scores,
            propensities=propensities,
            ranks=ranks.reshape(n, s),
            z_scores=z_scores.reshape(n, s),
            user_vector=vector,
            inputs=unpack_inputs(data[at:]) if at < len(data) else None,
        )
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TailorbirdError(
            f"a stored exposure of {len(data)} bytes is damaged: {error}",
            remedy="restore the workspace's exposures from a copy",
        ) from error


def table_of(exposures: Sequence[Exposure]) -> pa.Table:
    """Arrow table with SCHEMA's columns, numbers rounded: to halves, z-scores to steps of 1/32."""
    columns = []
    for kind in SCHEMA:
        values = [getattr(exposure, kind.name) for exposure in exposures]
        if kind.name in _TIMES:
            micros = [round(value * MICROSECONDS) for value in values]
            columns.append(pa.array(micros, pa.int64()).cast(_TIME))
        elif kind.name in _JSON:
            always = kind.name == "removed"
            columns.append(
                pa.array(
                    [orjson.dumps(value).decode() if value or always else None for value in values],
                    pa.string(),
                )
            )
        elif kind.name == "inputs":
            packed = [None if value is None else _pack_inputs(value) for value in values]
            columns.append(pa.array(packed, pa.binary()))
        elif kind.name in _LISTS:
            columns.append(_lists(values, kind))
        else:
            columns.append(pa.array(values, kind.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def exposures_of(table: pa.Table) -> list[Exposure]:
    """Read what :func:`table_of` wrote; further columns of ``table`` are ignored."""
    columns: dict[str, list[object]] = {}
    for name in SCHEMA.names:
        if name in _LATER and name not in table.column_names:
            columns[name] = [_LATER[name]] * len(table)
            continue
        column = table[name]
        if name in _TIMES:
            columns[name] = [
                value / MICROSECONDS for value in column.cast(_TIME).cast(pa.int64()).to_pylist()
            ]
        elif name in _JSON:
            columns[name] = [orjson.loads(value) if value else {} for value in column.to_pylist()]
        elif name in _LISTS:
            kind = {"ranks": np.int16, "z_scores": np.float16}.get(name, np.float32)
            columns[name] = [np.array(value.values.to_numpy(), kind) for value in column]
        elif name in ("items", "source_names"):
            columns[name] = [tuple(value) for value in column.to_pylist()]
        else:
            columns[name] = column.to_pylist()
    return [_exposure(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _exposure(row: dict[str, object]) -> Exposure:
    shape = len(row["items"]), len(row["source_names"])  # type: ignore[arg-type]
    row["ranks"] = row["ranks"].reshape(shape)  # type: ignore[attr-defined]
    row["z_scores"] = row["z_scores"].reshape(shape)  # type: ignore[attr-defined]
    row["removed_items"] = {rule: tuple(ids) for rule, ids in row["removed_items"].items()}  # type: ignore[attr-defined]
    row["inputs"] = None if row["inputs"] is None else unpack_inputs(row["inputs"])  # type: ignore[arg-type]
    return Exposure(**row)  # type: ignore[arg-type]


def _lists(arrays: Sequence[np.ndarray], kind: pa.Field) -> pa.ListArray:
    ends = np.cumsum([0, *(array.size for array in arrays)]).astype(np.int32)
    flat = np.concatenate([array.ravel() for array in arrays]) if len(arrays) else np.zeros(0, np.float32)
    rounded = _ROUNDED[kind.name](flat)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(rounded, kind.type.value_type), type=kind.type)


def _pack_inputs(inputs: Inputs) -> bytes:
    arrays = [np.asarray(getattr(inputs, name), "<f4") for name in GROUPS]
    shapes = orjson.dumps([array.shape for array in arrays])
    return b"".join((_HEAD.pack(len(shapes)), shapes, *(array.tobytes() for array in arrays)))


def unpack_inputs(data: bytes) -> Inputs:
    """Read the ranker inputs as the archive holds them: shapes as JSON, then float32 numbers."""
    (size,) = _HEAD.unpack_from(data)
    at = _HEAD.size + size
    arrays = []
    for shape in orjson.loads(data[_HEAD.size : at]):
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(data, "<f4", count, at).reshape(shape).astype(np.float32))
        at += 4 * count
    return Inputs(*arrays)
