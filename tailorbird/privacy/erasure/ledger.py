"""The ledger of erasures: who asked for which, and how far each is; what it answered from is on the disk."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from tailorbird.privacy.erasure.receipt import Receipt, new_receipt
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER
from tailorbird.streams.database import Database

LEDGER_FILE = "erasures.db"
WAIT_SECONDS = 10.0
_FORMAT = 1
_SCRIPT = """
CREATE TABLE receipts (
    id TEXT PRIMARY KEY, person TEXT NOT NULL, asked REAL NOT NULL, state TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX unfinished ON receipts (asked, id) WHERE state != 'done';
CREATE INDEX person ON receipts (person, asked)
"""


class Ledger:
    """The receipts of one workspace; any number of processes. Nothing is made until the first is asked for."""

    def __init__(self, workspace_folder: Path) -> None:
        self.path = workspace_folder / PRIVACY_FOLDER / LEDGER_FILE
        self._opening = threading.Lock()
        self._opened: Database | None = None

    def ask(self, person: str, *, now: float) -> Receipt:
        """The receipt for the erasure of a person (key): that of the one that is not done yet, else a new one."""
        with self._database().transaction() as connection:
            found = connection.execute(
                "SELECT body FROM receipts WHERE person = ? AND state != 'done'", (person,)
            ).fetchone()
            if found:
                return _receipt(found[0])
            receipt = new_receipt(person, now=now)
            connection.execute(
                "INSERT INTO receipts VALUES (?, ?, ?, ?, ?)",
                (receipt.id, person, now, receipt.state, _body(receipt)),
            )
            return receipt

    def find(self, identity: str) -> Receipt | None:
        """The receipt of this id."""
        if not self.path.exists():
            return None
        question = "SELECT body FROM receipts WHERE id = ?"
        found = self._database().ask(lambda c: c.execute(question, (identity,)).fetchone())
        return _receipt(found[0]) if found else None

    def unfinished(self, *, limit: int) -> list[Receipt]:
        """Those that are not done, the oldest first."""
        if not self.path.exists():
            return []
        question = "SELECT body FROM receipts WHERE state != 'done' ORDER BY asked, id LIMIT ?"
        rows = self._database().ask(lambda c: c.execute(question, (limit,)).fetchall())
        return [_receipt(row[0]) for row in rows]

    def newest(self, *, limit: int) -> list[Receipt]:
        """The newest receipts, whatever their state."""
        if not self.path.exists():
            return []
        question = "SELECT body FROM receipts ORDER BY asked DESC, id LIMIT ?"
        rows = self._database().ask(lambda c: c.execute(question, (limit,)).fetchall())
        return [_receipt(row[0]) for row in rows]

    def done(self) -> Iterator[Receipt]:
        """Every receipt that is done, page by page, the oldest first."""
        question = (
            "SELECT asked, id, body FROM receipts WHERE state = 'done' AND (asked, id) > (?, ?)"
            " ORDER BY asked, id LIMIT 1000"
        )
        last: tuple[float, str] = (0.0, "")
        while self.path.exists():
            rows = self._database().ask(lambda c, at=last: c.execute(question, at).fetchall())  # type: ignore[misc]
            for _, _, body in rows:
                yield _receipt(body)
            if not rows:
                return
            last = rows[-1][:2]

    def keep(self, receipts: Sequence[Receipt]) -> None:
        """Note how far these are, all or none."""
        with self._database().transaction() as connection:
            connection.executemany(
                "UPDATE receipts SET state = ?, body = ? WHERE id = ?",
                [(each.state, _body(each), each.id) for each in receipts],
            )

    def close(self) -> None:
        """Release the file; the next question opens it again."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _database(self) -> Database:
        with self._opening:
            if self._opened is None:
                opened = Database(self.path, name="erasures", durable=True, wait_seconds=WAIT_SECONDS)
                opened.create(_SCRIPT, version=_FORMAT)
                self._opened = opened
            return self._opened


def _body(receipt: Receipt) -> bytes:
    return orjson.dumps(
        receipt
    )  # as Receipt.plain() says it, a hundred times as fast: each place notes all of them twice


def _receipt(body: bytes) -> Receipt:
    return Receipt.of_plain(orjson.loads(body))
