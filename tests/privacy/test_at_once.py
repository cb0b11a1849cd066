"""A thousand people are erased in one pass over the archive, and each gets a receipt of their own."""

from pathlib import Path

from tailorbird.settings import load_settings
from tailorbird.streams.factory import compact_stream, open_events
from tests.privacy.erasing_child import open_small
from tests.streams.embedded import event

PEOPLE = 1_000
FILES = 3


def test_a_thousand_go_in_one_pass(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="test")
    with open_events(settings) as log:
        for part in range(FILES):
            names = [f"soul-{n}" for n in range(PEOPLE + 50)]
            log.append([event(part, message_id=f"{name}-{part}", user_id=name) for name in names])
            compact_stream(log)
        commits = len(list((settings.folder / "archive" / "events" / "_delta_log").glob("*.json")))
    erasing = open_small(settings)
    asked = [erasing.ask(f"user:soul-{n}") for n in range(PEOPLE)]
    assert erasing.run() == PEOPLE
    after = [path.name for path in (settings.folder / "archive" / "events" / "_delta_log").glob("*.json")]
    rewritten = len(after) - commits
    assert FILES <= rewritten <= FILES + 2, "each file is written once; a sweep makes two commits"
    receipts = [erasing.ledger.find(each.id) for each in asked]
    assert {(each.state, each.found) for each in receipts if each} == {("done", FILES)}
    assert len({each.id for each in receipts if each}) == PEOPLE
    with open_events(settings) as log:
        assert sum(len(batch) for batch in log.scan(columns=["user_key"])) == 50 * FILES
