"""Segments in words: a shallow tree tells each from the rest, and its path, spoken, becomes the name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.segments.finding.evidence import TRAITS
from tailorbird.segments.model import Segment
from tailorbird.segments.told import TOLD

DEPTH = 3
"""Conditions of a name at most."""
OF_TRAITS = {trait.name: (trait.low, trait.high) for trait in TRAITS}
OF_TOLD = {
    "age": ("younger than {}", "older than {}"),
    "female": ("not a woman", "a woman"),
    "male": ("not a man", "a man"),
}


@dataclass(frozen=True)
class Condition:
    """A column below or above a value."""

    column: str
    above: bool
    value: float

    @property
    def words(self) -> str:
        """As a marketer reads it."""
        if self.column in OF_TOLD:
            return OF_TOLD[self.column][self.above].format(round(self.value))
        return OF_TRAITS[self.column][self.above]


def described(
    labels: np.ndarray,
    traits: np.ndarray,
    told: np.ndarray,
    *,
    columns: Sequence[str],
    count: int,
    seed: int = 0,
) -> tuple[Segment, ...]:
    """The segments of people with ``labels`` (n,), by their ``traits`` (n, c) named ``columns`` and what they told (n, 3)."""
    names = [*columns, *TOLD]
    x = np.concatenate([traits, np.nan_to_num(told, nan=-1.0)], axis=1)
    spread = np.maximum(traits.std(axis=0), 1e-9)
    found: list[Segment] = []
    for k in range(count):
        own = labels == k
        conditions, precision, recall = _rule(x, own, names, seed=seed)
        far = (
            (traits[own].mean(axis=0) - traits.mean(axis=0)) / spread if own.any() else np.zeros(len(columns))
        )
        order = np.argsort(-np.abs(far), kind="stable")
        side = dict(zip(columns, (far > 0).tolist(), strict=True))
        # A bound that leaves most people on the segment's side is part of the rule, but nothing that one would say of it.
        told_of_it = [each.words for each in conditions if side.get(each.column, each.above) == each.above]
        words = list(dict.fromkeys(told_of_it))
        for place in order.tolist():  # a name of one trait says little
            if len(words) >= 2:
                break
            words += [OF_TRAITS[columns[place]][int(far[place] > 0)]]
            words = list(dict.fromkeys(words))
        found.append(
            Segment(
                key="",
                name=", ".join(words),
                words=tuple(words),
                share=float(own.mean()),
                precision=precision,
                recall=recall,
                traits={columns[place]: round(float(far[place]), 3) for place in order.tolist()},
            )
        )
    return _named_apart(found)


def _rule(
    x: np.ndarray, own: np.ndarray, names: Sequence[str], *, seed: int
) -> tuple[list[Condition], float, float]:
    """The path of the tree that tells ``own`` (n,) from the rest best (by F1), with its precision and recall."""
    from sklearn.tree import DecisionTreeClassifier

    if not own.any() or own.all():
        return [], float(own.mean()), 1.0
    tree = DecisionTreeClassifier(
        max_depth=DEPTH,
        min_samples_leaf=max(5, len(x) // 200),
        min_impurity_decrease=1e-3,
        class_weight="balanced",
        random_state=seed,
    ).fit(x, own)
    grown, leaf_of = tree.tree_, tree.apply(x)
    best: tuple[float, list[Condition], float, float] = (-1.0, [], 0.0, 0.0)
    for leaf, path in _paths(grown, names):
        inside = leaf_of == leaf
        hits = float((inside & own).sum())
        precision, recall = hits / max(1.0, float(inside.sum())), hits / float(own.sum())
        f1 = 2 * precision * recall / max(1e-12, precision + recall)
        if f1 > best[0]:
            best = f1, path, precision, recall
    return best[1], best[2], best[3]


def _paths(tree: object, names: Sequence[str]) -> list[tuple[int, list[Condition]]]:
    """Each leaf with the conditions that lead to it; of two on one column and side the later, narrower one stays."""
    found: list[tuple[int, list[Condition]]] = []

    def walk(node: int, path: list[Condition]) -> None:
        left, right = int(tree.children_left[node]), int(tree.children_right[node])  # type: ignore[attr-defined]
        if left == right:
            found.append((node, path))
            return
        column, value = names[int(tree.feature[node])], float(tree.threshold[node])  # type: ignore[attr-defined]
        for child, above in ((left, False), (right, True)):
            kept = [each for each in path if (each.column, each.above) != (column, above)]
            walk(child, [*kept, Condition(column, above, value)])

    walk(0, [])
    return found


def _named_apart(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Give each a key of its own; two of one name are told apart by a number."""
    from dataclasses import replace

    known: dict[str, int] = {}
    named = []
    for segment in segments:
        said = " ".join(segment.words[:2]) or "everybody"
        key = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")
        known[key] = known.get(key, 0) + 1
        if known[key] > 1:
            segment = replace(segment, name=f"{segment.name} ({known[key]})")
            key = f"{key}-{known[key]}"
        named.append(replace(segment, key=key))
    return tuple(named)
