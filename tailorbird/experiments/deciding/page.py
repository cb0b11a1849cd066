"""A readout as one page of HTML that needs nothing else: the verdict, the table, the figures, the warnings."""

import datetime as dt
import io
from collections.abc import Sequence
from html import escape

from tailorbird.experiments.deciding.figures import figures_of
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.deciding.readout import OwnReadout
from tailorbird.experiments.deciding.shown import warnings_of
from tailorbird.experiments.deciding.verdict import verdict_of
from tailorbird.experiments.reading.shown import table_rows
from tailorbird.experiments.reading.verdict import Verdict

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
.verdict{font-size:1.2rem;padding:.8rem 1rem;background:#eef4fb;border-left:4px solid #2b6cb0}
.broken{background:#fdeeee;border-color:#c53030}svg{max-width:100%;height:auto}li{margin:.3rem 0}"""


def page_of(readout: OwnReadout) -> str:
    """The page; every text of the experiment is escaped."""
    warnings = warnings_of(readout) + [note for each in readout.reading.metrics for note in each.notes]
    return framed(
        readout.question.key,
        readout.question.hypothesis,
        verdict_of(readout),
        about=about_of(readout.question, units=readout.units),
        parts=[
            html_table(table_rows(readout.reading)),
            *(_factors(readout)),
            *(f"<h2>{escape(name)}</h2>{_svg(figure)}" for name, figure in figures_of(readout).items()),
        ],
        warnings=warnings,
    )


def about_of(question: Question, *, units: int) -> list[str]:
    """What was asked of how many, in words."""
    return [
        f"{units:,} units ({question.unit}), {question.days:.1f} of {question.planned_days:g} days",
        f"until {dt.datetime.fromtimestamp(question.end, dt.UTC):%Y-%m-%d %H:%M} UTC",
        f"smallest effect worth finding {100 * question.minimum_effect:g} %",
    ]


def framed(
    key: str,
    hypothesis: str,
    verdict: Verdict,
    *,
    about: Sequence[str],
    parts: Sequence[str],
    warnings: Sequence[str],
) -> str:
    """A page that begins with what was asked and the verdict, and ends with the warnings; ``parts`` are HTML, the rest is escaped."""
    whole = [
        f"<h1>{escape(key)}</h1>",
        f"<p>{escape(hypothesis)}</p>",
        f'<p class="verdict {escape(verdict.decision.value)}">{escape(verdict.words)}</p>',
        f"<p>{escape('; '.join(about))}</p>",
        *parts,
    ]
    if warnings:
        listed = "".join(f"<li>{escape(each)}</li>" for each in dict.fromkeys(warnings))
        whole.append(f"<h2>warnings</h2><ul>{listed}</ul>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(key)}</title>'
        f"<style>{_STYLE}</style><body>{''.join(whole)}</body></html>"
    )


def _factors(readout: OwnReadout) -> list[str]:
    if readout.factors is None:
        return []
    found = zip(readout.factors.effects.effects, readout.factors.adjusted_p, strict=True)
    rows: list[dict[str, object]] = [
        {
            "factor": each.name,
            "": "interaction" if each.is_interaction else "main effect",
            "effect": f"{each.effect:+.4g}",
            "interval": f"{each.interval[0]:+.4g}..{each.interval[1]:+.4g}",
            "p": f"{each.p_value:.2g}",
            "adjusted": f"{p_value:.2g}",
        }
        for each, p_value in found
    ]
    return ["<h2>factors</h2>", html_table(rows)]


def html_table(rows: Sequence[dict[str, object]]) -> str:
    """Rows as a table of HTML, escaped."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _svg(figure) -> str:  # type: ignore[no-untyped-def]
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    text = drawn.getvalue()
    return text[text.index("<svg") :]
