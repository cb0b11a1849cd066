import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from tailorbird.evaluation.metrics import CUTS, grouped, per_question
from tailorbird.evaluation.ranks import ranks_in


def test_one_right_answer_at_rank_three() -> None:
    figures = per_question(np.array([3.0]), cuts=(2, 10))
    assert figures["hr@10"] == figures["recall@10"] == 1
    assert figures["hr@2"] == figures["ndcg@2"] == figures["mrr@2"] == figures["map@2"] == 0
    assert figures["precision@10"] == pytest.approx(0.1)
    assert figures["ndcg@10"] == pytest.approx(1 / np.log2(4))
    assert figures["mrr@10"] == figures["map@10"] == pytest.approx(1 / 3)


def test_an_answer_that_is_not_found_earns_nothing() -> None:
    assert all(value == 0 for value in per_question(np.array([np.inf])).values())


def test_a_tie_across_the_cut_is_outside() -> None:
    assert per_question(np.array([10.0, 10.5]))["hr@10"].tolist() == [1, 0]


@pytest.mark.parametrize("answers", [1, 7])
def test_every_metric_equals_ir_measures(answers: int) -> None:
    rng = np.random.default_rng(answers)
    questions, items = 60, 300
    rankings = np.stack([rng.permutation(items)[:100] for _ in range(questions)])
    counts = rng.integers(1, answers + 1, questions)
    question = np.repeat(np.arange(questions), counts)
    targets = np.concatenate([rng.choice(items, n, replace=False) for n in counts])
    ranks = ranks_in(rankings, targets, question=question)
    ours = per_question(grouped(ranks, question))

    qrels = [ir_measures.Qrel(str(q), str(item), 1) for q, item in zip(question, targets, strict=True)]
    run = [
        ir_measures.ScoredDoc(str(q), str(item), float(100 - place))
        for q, row in enumerate(rankings)
        for place, item in enumerate(row)
    ]
    theirs = {
        "precision": P,
        "recall": R,
        "hr": Success,
        "ndcg": nDCG,
        "mrr": RR,
        "map": AP,
    }
    measures = {f"{name}@{k}": measure @ k for name, measure in theirs.items() for k in CUTS}
    means = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    for name, measure in measures.items():
        assert ours[name].mean() == pytest.approx(means[measure], abs=1e-12), name


def test_ranks_of_one_basket_stand_in_one_row() -> None:
    table = grouped(np.array([1.0, 5.0, 2.0]), np.array([0, 0, 4]))
    assert table.shape == (2, 2)
    assert table[0].tolist() == [1, 5]
    assert table[1, 0] == 2
    assert np.isnan(table[1, 1])
