"""Multivariate designs: factors of several levels become cells, all of them or an orthogonal fraction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from tailorbird.errors import UsageError
from tailorbird.experiments.design.experiment import Variant


@dataclass(frozen=True)
class Level:
    """One choice of a factor, and what it changes."""

    name: str
    change: Variant


@dataclass(frozen=True)
class Factor:
    """One thing that is varied; its first level is as usual."""

    name: str
    levels: tuple[Level, ...]


def cells_of(factors: Sequence[Factor], *, fractional: bool, most: int) -> tuple[Variant, ...]:
    """The variants that a design makes of factors, equally weighted, the one of all first levels first.

    Raises:
        UsageError: two factors change the same, one has a single level, or there are more than ``most`` cells.
    """
    _require_sound(factors)
    places = (
        _fraction(factors) if fractional else list(product(*(range(len(each.levels)) for each in factors)))
    )
    if len(places) > most:
        raise UsageError(
            f"factors: the design has {len(places)} cells, {most} may be",
            remedy='leave out levels, or write design = "fractional"',
        )
    return tuple(
        _cell(
            [(factor, factor.levels[place]) for factor, place in zip(factors, cell, strict=True)],
            1 / len(places),
        )
        for cell in sorted(places)
    )


def _fraction(factors: Sequence[Factor]) -> list[tuple[int, ...]]:
    """The smallest orthogonal fraction of two-level factors, of resolution III or more; the cell of all first levels is in it.

    Resolution III: no main effect is confounded with another one, but with interactions of two (Box, Hunter & Hunter 2005, 6).
    """
    from pyDOE3 import fracfact

    uneven = [each.name for each in factors if len(each.levels) != 2]
    if uneven or len(factors) < 3:
        raise UsageError(
            f"a fractional design is of three or more factors of two levels each: "
            f"{'not so ' + ', '.join(uneven) if uneven else f'here are {len(factors)}'}",
            remedy='write design = "full", or leave two levels of each',
        )
    signs = fracfact(_generators(len(factors)))  # (cells, factors) of -1 and 1
    first = signs[0]  # turned so that it becomes the usual one: signs of columns do not touch orthogonality
    return [tuple(int(sign) for sign in row != first) for row in signs]


def _generators(count: int) -> str:
    """Columns of a fraction of ``count`` factors: k of their own, the others their products, long ones first."""
    base = "abcdefghijkl"[: count.bit_length()]
    products = ["".join(each) for size in range(len(base), 1, -1) for each in combinations(base, size)]
    return " ".join([*base, *products][:count])


def _cell(chosen: Sequence[tuple[Factor, Level]], weight: float) -> Variant:
    cell = Variant(
        ".".join(level.name for _, level in chosen),
        weight,
        levels={factor.name: level.name for factor, level in chosen},
    )
    for _, level in chosen:
        change = level.change
        cell = replace(
            cell,
            alias=change.alias or cell.alias,
            version=change.version or cell.version,
            slate=change.slate.over(cell.slate),
            wishes=change.wishes.over(cell.wishes),
            payload={**cell.payload, **change.payload},
        )
    return cell


def _require_sound(factors: Sequence[Factor]) -> None:
    taken: dict[str, str] = {}
    for factor in factors:
        if len(factor.levels) < 2:
            raise UsageError(
                f"factors.{factor.name} has {len(factor.levels)} levels", remedy="a factor has two or more"
            )
        changes = {part for level in factor.levels for part in level.change.changes}
        if not changes:
            raise UsageError(
                f"factors.{factor.name} changes nothing", remedy="say what one of its levels changes"
            )
        for part in changes:
            if part in taken:
                raise UsageError(
                    f"factors.{factor.name} and factors.{taken[part]} both change {part}",
                    remedy="factors change different parts; join the two into one of more levels",
                )
            taken[part] = factor.name
