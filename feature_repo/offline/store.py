"""Feast's DuckDB offline store with an as-of join.

The stock store joins every entity row with every earlier snapshot and keeps the newest of each: 50,000 rows of users
with hundreds of snapshots become tens of millions of joined rows that carry whole profiles. Here DuckDB's ASOF JOIN
finds the one row number per entity row, and only those rows are read. Plugs in by ``offline_store.type``.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage


class AsofOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """The ``offline_store`` section of feature_store.yaml."""

    memory_limit: str = "2GB"
    """What DuckDB may hold before it spills to a temporary folder."""


class AsofOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins and latest rows of folders of Parquet files, each with one row number per wanted row."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Join each row of ``entity_df`` with the newest snapshot at or before its timestamp; keeps order and rows."""
        if not isinstance(entity_df, pd.DataFrame):
            raise TypeError(
                f"entity_df is a {type(entity_df).__name__}; give a DataFrame with keys and timestamps"
            )
        clock = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        entities = entity_df.assign(**{clock: pd.to_datetime(entity_df[clock], utc=True).dt.as_unit("us")})
        connection = _connect(config)
        connection.register("entities", pa.Table.from_pandas(entities.assign(__row=range(len(entities)))))
        matches, columns, joins = [], [f'e."{column}"' for column in entity_df.columns], []
        for number, view in enumerate(feature_views):
            wanted = _wanted(view, feature_refs)
            matches.append(_match(number, view, clock, by_created=filter_by_created_timestamp))
            prefix = f"{view.projection.name_to_use()}__" if full_feature_names else ""
            columns += [f'f{number}."{name}" AS "{prefix}{name}"' for name in wanted]
            joins.append(
                f"LEFT JOIN m{number} ON m{number}.__row = e.__row LEFT JOIN {_scan(_source(view))} f{number} "
                f"ON f{number}.filename = m{number}.filename AND f{number}.file_row_number = m{number}.file_row_number"
            )
        query = (
            f"WITH {', '.join(matches)} SELECT {', '.join(columns)} FROM entities e {' '.join(joins)} "  # noqa: S608
            "ORDER BY e.__row"
        )
        return AsofRetrievalJob(
            connection,
            query,
            live=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_names=full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in entity_df.columns if column != clock],
                min_event_timestamp=entities[clock].min(),
                max_event_timestamp=entities[clock].max(),
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row of each entity between two instants: what materialization writes online."""
        clock = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        newest = ", ".join(f'"{column}"' for column in clock)
        keys = ", ".join(f'"{column}"' for column in join_key_columns)
        columns = ", ".join(f'"{column}"' for column in [*join_key_columns, *feature_name_columns, *clock])
        start, end = (_literal(instant) for instant in (start_date, end_date))
        query = (
            f"SELECT {columns} FROM {_scan(data_source)} SEMI JOIN (SELECT unnest(arg_max("  # noqa: S608
            f"{{filename: filename, file_row_number: file_row_number}}, ({newest}))) FROM {_scan(data_source)} "
            f'WHERE "{timestamp_field}" BETWEEN {start} AND {end} GROUP BY {keys}) USING (filename, file_row_number)'
        )
        return AsofRetrievalJob(_connect(config), query)


class AsofRetrievalJob(RetrievalJob):
    """A query on a DuckDB connection of its own, run once when its answer is first asked for."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        *,
        live: list[OnDemandFeatureView] | None = None,
        full_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._connection, self._query = connection, query
        self._live, self._full_names, self._metadata = live or [], full_names, metadata
        self._answer: pa.Table | None = None

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if self._answer is None:
            self._answer = self._connection.sql(self._query).to_arrow_table()
            self._connection.close()
        return self._answer

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are named view__feature."""
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The views that Feast computes on top of the answer."""
        return self._live

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked."""
        return self._metadata

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
        """Write the answer as one Parquet file."""
        path = Path(storage.to_data_source().path)  # type: ignore[attr-defined]
        if path.exists() and not allow_overwrite:
            raise FileExistsError(f"{path} exists; pass allow_overwrite=True to replace it")
        pq.write_table(self._to_arrow_internal(timeout), path)


def _connect(config: RepoConfig) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB of its own: settings made here touch nobody else."""
    return duckdb.connect(
        config={
            "memory_limit": config.offline_store.memory_limit,
            "temp_directory": tempfile.gettempdir(),
            "autoinstall_known_extensions": False,  # never fetch anything at run time
        }
    )


def _match(number: int, view: FeatureView, clock: str, *, by_created: bool) -> str:
    """SQL of a table m<number>: the snapshot's row number for each entity row that has one."""
    source = _source(view)
    keys = view.projection.join_key_map or {column.name: column.name for column in view.entity_columns}
    on = [f's."{ours}" = e."{theirs}"' for ours, theirs in keys.items()]
    on.append(f's."{source.timestamp_field}" <= e."{clock}"')
    where = []
    if by_created and source.created_timestamp_column:
        where.append(f's."{source.created_timestamp_column}" <= e."{clock}"')
    if view.ttl and view.ttl > timedelta(0):
        seconds = view.ttl.total_seconds()
        where.append(f'epoch_us(s."{source.timestamp_field}") + {seconds * 1e6:.0f} >= epoch_us(e."{clock}")')
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    return (
        f"m{number} AS (SELECT e.__row, s.filename, s.file_row_number FROM entities e "  # noqa: S608
        f"ASOF JOIN {_scan(source)} s ON {' AND '.join(on)}{condition})"
    )


def _wanted(view: FeatureView, feature_refs: list[str]) -> list[str]:
    prefix = f"{view.projection.name_to_use()}:"
    return [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]


def _source(view: FeatureView) -> DataSource:
    if view.batch_source is None:
        raise TypeError(f"feature view {view.name} has no offline source; it cannot be joined")
    return view.batch_source


def _scan(source: DataSource) -> str:
    """The rows of a source, a folder of Parquet files, each row with its place."""
    path = source.path.replace("'", "''")  # type: ignore[attr-defined]
    return f"read_parquet('{path}/*.parquet', filename = true, file_row_number = true)"


def _literal(instant: datetime) -> str:
    return f"TIMESTAMPTZ '{instant.astimezone(UTC).isoformat()}'"
