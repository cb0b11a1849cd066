"""The Delta table of an archive: opened, made, its files loaded and replaced, every commit on the disk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.disk import fsync
from tailorbird.plumbing.objects import ObjectPath, delta_options, file_system
from tailorbird.streams.codec import Codec
from tailorbird.streams.stretch import Stretch

ROW_GROUP_ROWS = 50_000
_KEEP_LOG = "interval 1 days"


class ArchiveTable:
    """The table in ``folder``; ``source`` names the stream that it is made for."""

    def __init__(self, folder: Path | ObjectPath, codec: Codec, *, source: str) -> None:
        self.folder, self._codec, self._source = folder, codec, source
        far = isinstance(folder, ObjectPath)
        self._options = delta_options() if far else None
        self._files = file_system() if far else None
        self.schema = codec.placed_schema

    def version(self) -> str:
        """What changes with every commit; empty before the first."""
        return max((path.name for path in (self.folder / "_delta_log").glob("*.json")), default="")

    def exists(self) -> bool:
        """Whether something was archived."""
        return (self.folder / "_delta_log").is_dir()

    def open(self) -> Any:
        """The table as it is now; None where there is none."""
        from deltalake import DeltaTable

        if not self.exists():
            return None
        with self.readable():
            return DeltaTable(str(self.folder), storage_options=self._options)

    def made(self) -> Any:
        """The table without rows, made for this stream: two machines that begin at once must not both be the first."""
        from deltalake import CommitProperties, DeltaTable, Transaction
        from deltalake.exceptions import DeltaError

        with self.readable():
            try:
                made = DeltaTable.create(
                    str(self.folder),
                    schema=self.schema,
                    mode="error",
                    storage_options=self._options,
                    configuration=self._configuration(),
                    commit_properties=CommitProperties(app_transactions=[Transaction(self._source, 0)]),
                )
            except DeltaError:
                return DeltaTable(str(self.folder), storage_options=self._options)
        self.sync([])
        return made

    def add(self, table: Any, rows: pa.Table, *, mark: str, last: int) -> None:
        """Append ``rows`` and move ``mark`` to ``last``, in one commit."""
        from deltalake import CommitProperties, Transaction, write_deltalake

        # A commit of another machine since then fails this one: both have the same mark.
        with self.readable():
            write_deltalake(
                table,
                rows.combine_chunks(),
                mode="append",
                schema_mode="merge",  # a column that came later
                writer_properties=_writer(self._codec),
                commit_properties=CommitProperties(app_transactions=[Transaction(mark, last)]),
            )

    def put(self, table: Any, rows: pa.Table, *, span: str) -> None:
        """Put ``rows`` where those of ``span`` are, in one commit; refused where these have changed since ``table`` was opened."""
        from deltalake import write_deltalake

        if len(rows):
            write_deltalake(
                table,
                rows.combine_chunks(),
                mode="overwrite",
                schema_mode="merge",
                predicate=span,
                writer_properties=_writer(self._codec),
            )
        else:
            table.delete(span)

    def load(self, stretch: Stretch, columns: Sequence[str] | None, where: ds.Expression | None) -> pa.Table:
        """The rows of a stretch that meet ``where``, in the order of their offsets."""
        wanted = (
            self.schema.names if columns is None else list(dict.fromkeys(["partition", "offset", *columns]))
        )
        paths = [path.key if isinstance(path, ObjectPath) else str(path) for path in stretch.paths]
        source = ds.dataset(paths, schema=self.schema, format="parquet", filesystem=self._files)
        rows = source.to_table(columns=wanted, filter=where)
        offsets = rows["offset"].to_numpy()  # (n,)
        # Other programs, and Delta's own writer where it has several threads, leave a file's rows in any order.
        return rows if bool((offsets[1:] > offsets[:-1]).all()) else rows.sort_by("offset")

    def sync(self, stretches: Sequence[Stretch]) -> None:
        """Make the newest commit survive a power cut: its files, the table's log, their folders."""
        if isinstance(self.folder, ObjectPath):
            return  # an object store answers when it has what was put
        log = self.folder / "_delta_log"
        newest = max(log.glob("*.json"))
        checkpoint = [*log.glob(f"{newest.stem}.checkpoint*"), *log.glob("_last_checkpoint")]
        data = [path for each in stretches for path in each.paths if isinstance(path, Path)]
        for path in (*data, newest, *checkpoint, log, self.folder):
            fsync(path)

    @contextmanager
    def readable(self) -> Iterator[None]:
        """What goes wrong inside with the table's files, in words."""
        from deltalake.exceptions import DeltaError

        try:
            yield
        except (pa.ArrowInvalid, OSError, DeltaError) as error:
            raise TailorbirdError(
                f"{self._codec.name} archive {self.folder} cannot be read or written: {error}",
                remedy="free some disk space, or restore the folder from a copy",
            ) from error

    def _configuration(self) -> dict[str, str | None]:
        # Statistics of person or item columns would keep ids in the table's log after their rows are gone.
        return {
            "delta.dataSkippingStatsColumns": ",".join(["partition", "offset", *self._codec.times]),
            "delta.logRetentionDuration": _KEEP_LOG,
            "delta.deletedFileRetentionDuration": "interval 1 hours",
            "delta.checkpointInterval": "50",
        }


def _writer(codec: Codec) -> Any:
    """How files are written: an erasure writes them anew, and waits for it.

    What is another in every row gets no dictionary, offsets and times their differences: half the time, six tenths of the bytes.
    """
    from deltalake import ColumnProperties, WriterProperties

    differences = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        max_row_group_size=ROW_GROUP_ROWS,
        column_properties={
            codec.key: ColumnProperties(dictionary_enabled=False),
            **dict.fromkeys(["offset", *codec.times], differences),
        },
    )
