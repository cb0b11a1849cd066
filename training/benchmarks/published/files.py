"""What a benchmark leaves behind: ``metrics.json`` and the rankings, so that anyone can recompute the figures."""

import datetime as dt
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tailorbird import __version__
from tailorbird.evaluation.rankings import write_rankings
from tailorbird.evaluation.report import learning_frame, source_frame
from tailorbird.models.hybrid.fit import FittedHybrid
from tailorbird.recipes.recipe import Recipe
from training.benchmarks.published.data import Question
from training.benchmarks.published.run import ALONE, HYBRID, Bench, peak_memory_mb


def summary(
    bench: Bench,
    *,
    question: Question,
    part: str,
    recipe: Recipe,
    seed: int,
    fitted: FittedHybrid | None,
    command: str,
) -> dict[str, Any]:
    """Put everything that ``metrics.json`` says into one JSON-ready object; ``metrics`` are the hybrid's means."""
    best = bench.reports.get(HYBRID) or next(iter(bench.reports.values()))
    fit = bench.split.fit
    sources = {
        name.removeprefix(ALONE): answers.rankings
        for name, answers in bench.answers.items()
        if name.startswith(ALONE) and "," not in name
    }
    return _clean(
        {
            "dataset": bench.data.name,
            "protocol": {**asdict(question), "part": part},
            "cases": len(bench.cases),
            "users": best.overall.users,
            "items": len(bench.data.catalog),
            "fit_events": len(fit),
            "exclude_seen": bench.cases.exclude_seen,
            "metrics": {name: interval.mean for name, interval in best.overall.metrics.items()},
            "rows": {name: report.to_dict() for name, report in bench.reports.items()},
            "lead_of_hybrid": {"metric": "ndcg@10", "over": bench.lead(seed=seed)},
            "recall_by_source": source_frame(sources, bench.cases, cuts=(10, 20, 50, 100)).to_dict("records")
            if sources
            else [],
            "curves": learning_frame(fitted.curves).to_dict("records") if fitted else [],
            "recipe": {"name": recipe.name, "digest": recipe.digest, **asdict(recipe)},
            "seed": seed,
            "seconds": {name: round(value, 2) for name, value in bench.seconds.items()},
            "peak_memory_mb": round(peak_memory_mb()),
            "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "tailorbird": __version__,
            "python": platform.python_version(),
            "command": command,
        }
    )


def write_files(bench: Bench, result: Mapping[str, Any], *, out: Path) -> None:
    """Write every row's rankings (the hybrid's at the top) and, last, ``metrics.json``."""
    out.mkdir(parents=True, exist_ok=True)
    best = HYBRID if HYBRID in bench.answers else next(iter(bench.answers))
    for name, answers in bench.answers.items():
        path = out / "rankings.parquet" if name == best else out / "rankings" / f"{_file_name(name)}.parquet"
        write_rankings(path, answers.rankings, bench.cases, catalog=bench.data.catalog, ranks=answers.ranks)
    staged = out / "metrics.json.part"
    staged.write_text(json.dumps(result, indent=2), encoding="utf-8")
    staged.replace(out / "metrics.json")


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _clean(value: Any) -> Any:
    """Turn what JSON has no word for (NaN, infinity) into null."""
    if isinstance(value, Mapping):
        return {str(key): _clean(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
