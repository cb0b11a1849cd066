"""The text space: texts as vectors that lie near each other where words are alike, also texts that came after it was made."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from tailorbird.plumbing.disk import mapped
from tailorbird.recipes.recipe import ContentRecipe

WORD = r"(?u)\b\w+\b"
PIECE = 65_536
"""Texts that become vectors at a time."""


class TextSpace:
    """TF-IDF ▸ truncated SVD ▸ unit vectors, without the texts it was made of.

    ``words`` (v,) in the order of ``idf`` (v,) float64 and of the columns of ``components`` (d, v) float32.
    """

    def __init__(self, words: Sequence[str], idf: np.ndarray, components: np.ndarray) -> None:
        self.words, self.idf, self.components = tuple(words), idf, components
        self._place = {word: place for place, word in enumerate(self.words)}
        self._find = re.compile(WORD).findall

    @property
    def dimensions(self) -> int:
        """d, the length of a vector."""
        return len(self.components)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32 unit vectors; zeros where no word of a text is known."""
        pieces = [self._weights(texts[start : start + PIECE]) for start in range(0, len(texts), PIECE)]
        parts = [self.projected(piece) for piece in pieces]
        return np.concatenate([np.zeros((0, self.dimensions), np.float32), *parts])

    def projected(self, weights: sp.csr_matrix) -> np.ndarray:
        """(n, d) float32 unit vectors of texts whose words weigh ``weights`` (n, v)."""
        vectors = np.asarray(weights @ self.components.T, np.float32)
        norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return (vectors / np.maximum(norm, 1e-12)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write ``words.json``, ``idf.npy`` and ``components.npy``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "words.json").write_text(json.dumps(self.words, ensure_ascii=False), encoding="utf-8")
        np.save(folder / "idf.npy", self.idf)
        np.save(folder / "components.npy", self.components)

    @classmethod
    def load(cls, folder: Path) -> "TextSpace":
        """Read what ``save`` wrote."""
        words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        return cls(words, np.load(folder / "idf.npy"), mapped(folder / "components.npy"))

    def _weights(self, texts: Sequence[str]) -> sp.csr_matrix:
        """(n, v) TF-IDF weights, each row of length one: a word that is used more often counts by its logarithm."""
        indptr, places, counts = [0], list[int](), list[int]()
        for text in texts:
            found = Counter(
                place for word in self._find(text.lower()) if (place := self._place.get(word)) is not None
            )
            places += found.keys()
            counts += found.values()
            indptr.append(len(places))
        columns = np.array(places, np.int64)
        weights = (1.0 + np.log(np.array(counts, np.float64))) * self.idf[columns]
        rows = np.repeat(np.arange(len(texts)), np.diff(indptr))
        norm = np.sqrt(np.bincount(rows, weights=weights**2, minlength=len(texts)))
        return sp.csr_matrix(
            (weights / norm[rows], columns, np.array(indptr)), shape=(len(texts), len(self.words))
        )


@dataclass(frozen=True, eq=False)
class Embedded:
    """Texts in the space that was made of them: ``vectors`` (n, d) float32."""

    space: TextSpace
    vectors: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], recipe: ContentRecipe) -> "Embedded":
        """Make the space of ``texts``; where they hold no two words it has nothing to say of any text."""
        dimensions = recipe.dimensions
        silent = TextSpace((), np.zeros(0), np.zeros((dimensions, 0), np.float32))
        nothing = cls(silent, np.zeros((len(texts), dimensions), np.float32))
        if not any(text.strip() for text in texts):
            return nothing
        from sklearn.decomposition import TruncatedSVD  # here: whoever only serves a model needs none of it
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            max_features=recipe.vocabulary, sublinear_tf=True, stop_words="english", token_pattern=WORD
        )
        try:
            weights = vectorizer.fit_transform(texts)  # (n, v)
        except ValueError:  # every word is a stop word
            return nothing
        d = min(dimensions, weights.shape[1], weights.shape[0])
        if d < 1 or weights.shape[1] < 2:
            return nothing
        found = TruncatedSVD(d, random_state=0).fit(weights).components_
        components = np.zeros((dimensions, weights.shape[1]), np.float32)
        components[:d] = found
        words = [str(word) for word in vectorizer.get_feature_names_out()]
        space = TextSpace(words, np.asarray(vectorizer.idf_, np.float64), components)
        return cls(space, space.projected(weights))
