"""The mapping file: which columns of somebody's data make our events, items and users. TOML ▸ frozen object."""

import tomllib
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from tailorbird.catalog.catalog import ITEM_COLUMNS, USER_COLUMNS
from tailorbird.errors import UsageError
from tailorbird.events.schema import SCHEMA
from tailorbird.ingest.expressions import Expression, parse_expression
from tailorbird.privacy.door.minimise import NOTHING_DECLARED, Declared
from tailorbird.privacy.policy.policy import BASES

AGGREGATES = ("first", "last", "median", "mean")


@dataclass(frozen=True)
class TableMapping:
    """One table: the file it is in and the expression of each column.

    ``same_names`` takes every source column that already has a schema column's name. ``from_events`` builds the table
    from the rows of the events' source (one row an id, values by ``aggregate``), of ``types`` if given. Of ``records`` a
    dotted name reads within and what a record lacks is empty; ``each`` names a list of them that makes one event an element.
    ``delimiter`` parts the cells of a CSV, where it is not what the file's suffix says.
    """

    file: str = ""
    delimiter: str = ""
    same_names: bool = False
    from_events: bool = False
    types: tuple[str, ...] = ()
    records: bool = False
    each: str = ""
    columns: MappingType[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True)
class Mapping:
    """How one data set becomes events, items and users. ``folder`` holds the mapping's file; a built-in one has none.

    ``declared`` texts of context and properties are not personal: those that the mapping makes by name, and those it lists.
    """

    name: str
    description: str
    events: TableMapping
    items: TableMapping | None = None
    users: TableMapping | None = None
    max_events_per_minute: int = 600
    declared: Declared = NOTHING_DECLARED
    basis: str = ""
    """The legal basis of the data, where it says one, and the purposes that it covers."""
    basis_purposes: tuple[str, ...] = ()
    folder: Path | None = field(default=None, repr=False, compare=False)  # where it lies changes no meaning

    @property
    def ordered_only(self) -> bool:
        """Whether the data has an order but no time."""
        time = self.events.columns.get("event_time")
        return time is not None and time.kind == "order"


def builtin_mappings() -> list[str]:
    """Names of the mappings that come with the program."""
    folder = resources.files("tailorbird.ingest") / "mappings"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_mapping(name_or_path: str | Path) -> Mapping:
    """Read a built-in mapping by name, or a TOML file by path. Raises UsageError when it says anything unknown."""
    text = str(name_or_path)
    if text in builtin_mappings():
        content = (resources.files("tailorbird.ingest") / "mappings" / f"{text}.toml").read_text(
            encoding="utf-8"
        )
        return parse_mapping(content, name=text)
    path = Path(text)
    if not path.is_file():
        raise UsageError(
            f"no mapping {text!r}", remedy=f"give a TOML file, or one of {', '.join(builtin_mappings())}"
        )
    return replace(parse_mapping(path.read_text(encoding="utf-8"), name=path.stem), folder=path.parent)


def identity_mapping(name: str = "same-names") -> Mapping:
    """The mapping of files whose columns already have our names."""
    same = TableMapping(same_names=True)
    return Mapping(name, "columns already have the schema's names", same, same, same)


def parse_mapping(content: str, *, name: str) -> Mapping:
    """Read a mapping from TOML text."""
    try:
        tree = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"mapping {name!r} is not TOML: {error}", remedy="correct the file") from error
    _known(
        tree,
        ("name", "description", "limits", "privacy", "events", "items", "users"),
        where=f"mapping {name!r}",
    )
    if "events" not in tree:
        raise UsageError(
            f"mapping {name!r} has no [events]", remedy="say at least which columns make an event"
        )
    events = _table(tree["events"], where="events", allowed=SCHEMA.names, may_derive=False)
    limits = tree.get("limits", {})
    _known(limits, ("max_events_per_minute",), where="[limits]")
    privacy = tree.get("privacy", {})
    _known(privacy, ("context", "properties", "users", "basis", "purposes"), where="[privacy]")
    users = _described(tree, "users", allowed=USER_COLUMNS, events=events)
    mapping = Mapping(
        name=str(tree.get("name", name)),
        description=str(tree.get("description", "")),
        events=events,
        items=_described(tree, "items", allowed=ITEM_COLUMNS, events=events),
        users=users,
        max_events_per_minute=_limit(limits.get("max_events_per_minute", 600)),
        declared=Declared(
            _named(events, "context") | _names(privacy.get("context", []), where="privacy.context"),
            _named(events, "properties") | _names(privacy.get("properties", []), where="privacy.properties"),
            _named(users, "attributes") | _names(privacy.get("users", []), where="privacy.users"),
        ),
        basis=_basis(privacy),
        basis_purposes=tuple(sorted(_names(privacy.get("purposes", []), where="privacy.purposes"))),
    )
    _check_events(mapping)
    return mapping


def _named(table: TableMapping | None, column: str) -> frozenset[str]:
    """The names that a mapping gives to what it puts into a JSON column."""
    expression = table.columns.get(column) if table is not None else None
    made = expression.value if expression is not None and expression.kind == "json" else ()
    return frozenset(map(str, made)) if isinstance(made, (list, tuple, dict)) else frozenset()


def _basis(privacy: MappingType[str, object]) -> str:
    basis = privacy.get("basis", "")
    if basis not in ("", *BASES):
        raise UsageError(f"privacy.basis = {basis!r}", remedy=f"it is one of {', '.join(BASES)}")
    if bool(basis) != bool(privacy.get("purposes")):
        raise UsageError(
            "[privacy] says a basis without purposes, or purposes without a basis",
            remedy='write both, such as basis = "contract" and purposes = ["personalization"]',
        )
    return str(basis)


def _names(value: object, *, where: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{where} = {value!r}", remedy="give a list of names")
    return frozenset(value)


def _described(
    tree: MappingType[str, object], what: str, *, allowed: tuple[str, ...] | list[str], events: TableMapping
) -> TableMapping | None:
    if what not in tree:
        return None
    table = _table(tree[what], where=what, allowed=allowed)
    return replace(table, records=events.records) if table.from_events else table


def _table(
    tree: object, *, where: str, allowed: tuple[str, ...] | list[str], may_derive: bool = True
) -> TableMapping:
    if not isinstance(tree, dict):
        raise UsageError(f"[{where}] is {tree!r}", remedy=f"write a table: [{where}]")
    keys = (
        *("file", "delimiter", "same_names", "records", "columns"),
        *(("from_events", "types") if may_derive else ("each",)),
    )
    _known(tree, keys, where=f"[{where}]")
    columns = tree.get("columns", {})
    _known(columns, tuple(allowed), where=f"[{where}.columns]")
    parsed = {key: parse_expression(value, where=f"{where}.columns.{key}") for key, value in columns.items()}
    for key, expression in parsed.items():
        if expression.kind == "order" and key != "event_time":
            raise UsageError(f"{where}.columns.{key}: order", remedy="order makes event_time only")
        if expression.options.get("aggregate", "first") not in AGGREGATES:
            raise UsageError(
                f"{where}.columns.{key}: aggregate {expression.options['aggregate']!r}",
                remedy=f"use one of {', '.join(AGGREGATES)}",
            )
    return TableMapping(
        file=str(tree.get("file", "")),
        delimiter=_delimiter(tree.get("delimiter", ""), where=where),
        same_names=bool(tree.get("same_names", False)),
        from_events=bool(tree.get("from_events", False)),
        types=tuple(tree.get("types", ())),
        records=bool(tree.get("records", False)),
        each=str(tree.get("each", "")),
        columns=parsed,
    )


def _delimiter(value: object, *, where: str) -> str:
    if not isinstance(value, str) or (value and (len(value) != 1 or not value.isascii() or value in '"\r\n')):
        raise UsageError(
            f"{where}.delimiter = {value!r}", remedy='give one character, such as ";", or "\\t" for a tab'
        )
    return value


def _check_events(mapping: Mapping) -> None:
    columns = mapping.events.columns
    if mapping.events.same_names:
        return
    for needed in (("user_id", "anonymous_id"), ("type",), ("event_time",)):
        if not any(name in columns for name in needed):
            raise UsageError(
                f"mapping {mapping.name!r} makes no {' or '.join(needed)}",
                remedy='add it under [events.columns]; data without times says event_time = { order = "row" }',
            )


def _known(tree: MappingType[str, object], keys: tuple[str, ...], *, where: str) -> None:
    for key in tree:
        if key not in keys:
            raise UsageError(f"{where}: unknown key {key!r}", remedy=f"known keys: {', '.join(keys)}")


def _limit(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(
            f"limits.max_events_per_minute = {value!r}", remedy="give a whole number; 0 switches it off"
        )
    return value
