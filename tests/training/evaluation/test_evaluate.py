"""A version is asked what happened since it was trained."""

import pandas as pd

from registry.versions.versions import Registry
from tailorbird.settings import Settings
from tests.training.toy import append, trained, walks
from training.data.training_set import training_set
from training.evaluation.evaluate import evaluate


def test_a_version_is_evaluated_on_what_happened_since(own_toy: Settings) -> None:
    trained(own_toy)
    bundle = Registry(own_toy).version(1).open()
    quiet = evaluate(bundle, training_set(own_toy), settings=own_toy, least=20)
    assert quiet.measured is None
    assert quiet.newer == 0
    later = walks(40, seed=5, first=300)
    later["event_time"] = later["received_time"] = later["event_time"] + pd.Timedelta(days=60)
    append(own_toy, later)
    found = evaluate(bundle, training_set(own_toy), settings=own_toy, least=20)
    assert found.measured is not None
    assert found.newer == len(later)
    assert found.measured.report.mean("ndcg@10") > 0.5
