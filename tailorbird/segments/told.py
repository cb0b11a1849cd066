"""What people told of themselves, as segments see it: numbers to group by, and signs to assign by."""

import numpy as np

from tailorbird.features.demographics import Demographics

TOLD = ("age", "female", "male")
"""What a person told, in this order."""
AGES = np.array([18.0, 25.0, 35.0, 45.0, 55.0])
"""Where bands of age end; the first sign of each alphabet is what was not told."""
ALPHABETS = ((0, len(AGES) + 2), (len(AGES) + 2, len(AGES) + 6))
TOLD_SIGNS = ALPHABETS[-1][1]


def told_of(person: Demographics) -> np.ndarray:
    """(3,) what a person told: age in years, and 1 or 0 for female and male; NaN where they did not."""
    gender = person.gender[:1].lower()
    return np.array([person.age, *(float(gender == kind) if gender else np.nan for kind in "fm")])


def told_signs(told: np.ndarray) -> np.ndarray:
    """(2,) signs of (3,) what a person told: the band of age, and female, male or another."""
    age, female, male = told.tolist()
    band = 0 if age != age else 1 + int(np.searchsorted(AGES, age, side="right"))
    gender = 0 if female != female else 1 if female else 2 if male else 3
    return np.array([band, ALPHABETS[1][0] + gender])
