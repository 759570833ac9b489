"""How the lines of the curves are told apart: by colours that say what they have in common, and by
patterns within a colour."""

from dataclasses import dataclass

from dashboard.charts.theme import CATEGORICAL
from dashboard.screens.curves.charts import Run
from dashboard.screens.curves.runs import CurveRun, Group
from gridlstm.architectures import ARCHITECTURES
from gridlstm.curves import mean_over_seeds

# What a colour may stand for, and what that is called.
COLOURS = {
    "architecture": "Architecture",
    "layers": "Layers",
    "units": "Units",
    "dropout": "Dropout",
    "none": "Each its own",
}


@dataclass(frozen=True)
class Style:
    """Numbers that choose a group's colour and pattern, and what all of its colour have in common,
    in words."""

    colour: int
    pattern: int
    heading: str


def styles(groups: list[Group], colour_by: str) -> dict[str, Style]:
    """The style of every group by its label. `groups` are all there are, so that hiding some
    changes no colour."""
    if colour_by == "none":
        return {group.label: Style(n, n, "") for n, group in enumerate(groups)}
    ordered = sorted(groups, key=lambda group: _rank(group.first, colour_by))
    colours: dict[str, int] = {}
    # With more headings than colours, those that share one have no pattern in common.
    patterns: dict[int, int] = {}
    found = {}
    for group in ordered:
        head = heading(group.first, colour_by)
        colour = colours.setdefault(head, len(colours) % len(CATEGORICAL))
        pattern = patterns.get(colour, 0)
        patterns[colour] = pattern + 1
        found[group.label] = Style(colour, pattern, head)
    return found


def heading(run: CurveRun, colour_by: str) -> str:
    """What all runs of one colour have in common, in words, by one of `COLOURS` but "none"."""
    if run.config is None:
        return run.foreign.capitalize() or "Not known yet"
    if colour_by == "architecture":
        return ARCHITECTURES[run.config.architecture].title
    value = getattr(run.config, colour_by)
    if colour_by == "dropout":
        return f"Dropout {value:g}"
    return f"{value} {colour_by if value > 1 else colour_by[:-1]}"


def _rank(run: CurveRun, colour_by: str) -> tuple:
    if run.config is None:
        return (2, run.foreign) if run.foreign else (1, "")
    if colour_by == "architecture":
        return 0, list(ARCHITECTURES).index(run.config.architecture)
    return 0, getattr(run.config, colour_by)


def lines(groups: list[Group], style: dict[str, Style]) -> list[Run]:
    """The lines of the picture, those of one colour together."""
    drawn = []
    for group in sorted(groups, key=lambda group: style[group.label].colour):
        look, curves = style[group.label], [run.curve for run in group.runs]
        frame = curves[0] if len(curves) == 1 else mean_over_seeds(curves)
        drawn.append(Run(in_legend(group, look), frame, look.colour, look.pattern))
    return drawn


def in_legend(group: Group, look: Style) -> str:
    """What a group is called where its colour is explained."""
    if look.heading.lower() in group.label.lower():
        return group.label
    return f"{group.label}, {look.heading.lower()}"
