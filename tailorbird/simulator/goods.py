"""The shop's goods: what the catalogue shows, and the hidden vectors and appeal that people choose by."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.simulator.vocabulary import BRANDS, COLOURS, DEPARTMENTS, MATERIALS, SHELVES, STYLES

DIMENSIONS = 24
DAY = 86_400.0
FRESH_DAYS = 10.0
COLD_SHARE = 0.03
"""Share of the items launched in the last two days: almost nobody has met them."""


@dataclass(frozen=True)
class Goods:
    """Items by row: ``shelf`` and ``department`` (n,) int; ``vectors`` (n, DIMENSIONS); log prices standardised per shelf.

    ``appeal`` (n,) is what everybody likes, with a slow wave of its own (``wave_days``, ``wave_phase``) that makes
    popularity move.
    """

    catalog: Catalog
    shelf: np.ndarray
    department: np.ndarray
    vectors: np.ndarray
    shelf_vectors: np.ndarray  # (n_shelves, DIMENSIONS)
    style_vectors: np.ndarray  # (n_styles, DIMENSIONS)
    brand_vectors: np.ndarray  # (n_brands, DIMENSIONS)
    price_level: np.ndarray
    appeal: np.ndarray
    wave_days: np.ndarray
    wave_phase: np.ndarray
    launched_at: np.ndarray
    sold_out_at: np.ndarray

    def __len__(self) -> int:
        return len(self.shelf)

    def appeal_at(self, instants: np.ndarray) -> np.ndarray:
        """(b, n) what everybody likes at each instant; -inf for what is not on sale."""
        days = instants[:, None] / DAY
        wave = 0.5 * np.sin(2 * np.pi * days / self.wave_days + self.wave_phase)
        age = days - self.launched_at / DAY
        fresh = 0.8 * np.exp(-np.maximum(age, 0.0) / FRESH_DAYS)
        on_sale = (age >= 0) & (instants[:, None] < self.sold_out_at)
        return np.where(on_sale, self.appeal + wave + fresh, -np.inf).astype(np.float32)


def make_goods(count: int, *, start: float, end: float, rng: np.random.Generator) -> Goods:
    """Make ``count`` items for a shop that is open from ``start`` to ``end`` (epoch seconds)."""
    shelf = rng.permutation(np.arange(count) % len(SHELVES))
    departments = list(DEPARTMENTS)
    department = np.array([departments.index(SHELVES[code][0]) for code in shelf])
    style = rng.integers(len(STYLES), size=count)
    # A brand sells in few departments, so that brand and shelf speak of each other as in a real shop.
    brand_home = rng.integers(len(departments), size=(len(BRANDS), 3))
    sellers = [np.flatnonzero((brand_home == code).any(1)) for code in range(len(departments))]
    brand = np.array([rng.choice(sellers[code]) if len(sellers[code]) else 0 for code in department])
    shelf_vectors, style_vectors, brand_vectors = (
        _directions(size, rng) for size in (len(SHELVES), len(STYLES), len(BRANDS))
    )
    vectors = (
        shelf_vectors[shelf]
        + 0.8 * style_vectors[style]
        + 0.5 * brand_vectors[brand]
        + 0.45 * _directions(count, rng)
    )
    price_level = 0.6 * rng.standard_normal(len(BRANDS))[brand] + 0.8 * rng.standard_normal(count)
    price = np.exp(rng.normal(3.2, 0.7, len(SHELVES))[shelf] + 0.45 * price_level).round(2)
    launched_at = _launches(count, start=start, end=end, rng=rng)
    sold_out = rng.random(count) < 0.02
    sold_out_at = np.where(sold_out, rng.uniform(start, end, count), np.inf)
    stock = np.where(sold_out, 0, rng.integers(3, 200, count))
    return Goods(
        catalog=_catalog(shelf, style, brand, price=price, stock=stock, launched_at=launched_at, rng=rng),
        shelf=shelf,
        department=department,
        vectors=vectors.astype(np.float32),
        shelf_vectors=shelf_vectors,
        style_vectors=style_vectors,
        brand_vectors=brand_vectors,
        price_level=price_level.astype(np.float32),
        appeal=(0.65 * rng.standard_normal(count)).astype(np.float32),
        wave_days=rng.uniform(25.0, 70.0, count),
        wave_phase=rng.uniform(0.0, 2 * np.pi, count),
        launched_at=launched_at,
        sold_out_at=sold_out_at,
    )


def _directions(count: int, rng: np.random.Generator) -> np.ndarray:
    vectors = rng.standard_normal((count, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _launches(count: int, *, start: float, end: float, rng: np.random.Generator) -> np.ndarray:
    """Three quarters were there before, the rest arrive over the time, some of them in the last two days."""
    kind = rng.random(count)
    launched = rng.uniform(start - 500 * DAY, start, count)
    launched = np.where(kind > 0.75, rng.uniform(start, end - 2 * DAY, count), launched)
    launched = np.where(kind > 1 - COLD_SHARE, rng.uniform(end - 2 * DAY, end, count), launched)
    return np.floor(launched)


def _catalog(
    shelf: np.ndarray,
    style: np.ndarray,
    brand: np.ndarray,
    *,
    price: np.ndarray,
    stock: np.ndarray,
    launched_at: np.ndarray,
    rng: np.random.Generator,
) -> Catalog:
    names, rows = list(STYLES), []
    for number, (shelf_code, style_code, brand_code) in enumerate(zip(shelf, style, brand, strict=True)):
        department, shelf_name = SHELVES[shelf_code]
        kind = str(rng.choice(DEPARTMENTS[department][shelf_name]))
        words = rng.choice(STYLES[names[style_code]], size=3, replace=False)
        colour, material = str(rng.choice(COLOURS)), str(rng.choice(MATERIALS))
        rows.append(
            {
                "item_id": f"item-{number:05d}",
                "title": f"{BRANDS[brand_code]} {words[0]} {kind}, {colour}",
                "text": f"A {words[1]} {kind} made of {material}. {words[2].capitalize()}, for {shelf_name.lower()} "
                f"and everything {department.lower()}.",
                "categories": [department, f"{department} > {shelf_name}"],
                "brand": BRANDS[brand_code],
                "attributes": json.dumps({"weight_kg": round(float(rng.gamma(2.0, 0.6)), 2)}),
            }
        )
    frame = pd.DataFrame(rows).assign(price=price, stock=stock, launched_at=launched_at)
    return Catalog.from_frame(frame)
