"""The items of a workspace as they are now, a few thousand at a time: for whoever must not hold them all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tailorbird.catalog.catalog import ITEM_COLUMNS, Catalog, told_since
from tailorbird.catalog.files import ITEMS_FILE, ROWS_AT_ONCE, stamp_of
from tailorbird.catalog.log.told import latest, with_told


class ItemSource(Protocol):
    """Where items come from piece by piece: a catalogue is one."""

    def parts(self, columns: Sequence[str] = ITEM_COLUMNS) -> Iterator[Catalog]:
        """Catalogues of some items each, together all; of other ``columns`` they may know nothing."""
        ...


@dataclass(frozen=True)
class PassingItems:
    """The items of ``folder``: its table and the patches told since."""

    folder: Path

    def parts(self, columns: Sequence[str] = ITEM_COLUMNS) -> Iterator[Catalog]:
        """The items of the table, in its order, then those that were only told. Raises FileNotFoundError."""
        with (self.folder / ITEMS_FILE).open("rb") as handle:
            table = pq.ParquetFile(handle)
            stamp = stamp_of(table.schema_arrow.metadata, handle.fileno())
            entries = told_since(self.folder, stamp, "item")
            told = latest((entry.patch.key, entry.patch.told) for entry in entries)
            for batch in table.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                part = Catalog.from_frame(batch.to_pandas())
                mine = {key: told.pop(key) for key in part.item_ids if key in told} if told else {}
                yield Catalog(with_told(part.items, mine, key="item_id")) if mine else part
        pa.default_memory_pool().release_unused()
        if told:
            yield Catalog(with_told(Catalog.of_ids([]).items, told, key="item_id"))
