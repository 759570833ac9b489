"""What each model got for its cost: the choice of a cost, and best losses against it."""

import streamlit as st

from dashboard.charts.theme import plot_config
from dashboard.screens.curves.charts import count_hidden_lines
from dashboard.screens.curves.cost_chart import COSTS, CostPoint, cost_figure
from dashboard.screens.curves.runs import Group
from dashboard.screens.curves.selection import Part
from dashboard.screens.curves.styles import Style, in_legend
from dashboard.words import verbatim


def choose_cost() -> str:
    """A selector of what the best losses are shown against, of `COSTS`."""
    return st.segmented_control(
        "Best loss against",
        list(COSTS),
        default="parameters",
        required=True,
        format_func={
            "parameters": "Parameters",
            "operations": "Operations",
            "bytes": "Bytes read",
            "seconds": "Wall time",
        }.get,
        help="One point a model, at its best loss; a bar from the lowest to the highest of its "
        "seeds. Operations are counted as in the picture above.",
        key="cost",
        bind="query-params",
    )


def show_costs(part: Part, style: dict[str, Style], cost: str, unit: str) -> None:
    """The picture of one text's models."""
    points = cost_points(part.groups, style, cost)
    if not points:
        st.info("What these runs cost is not known.")
        return
    figure = cost_figure(points, cost, unit)
    st.plotly_chart(
        figure,
        config=plot_config("curves-cost"),
        key=f"curves_cost{part.suffix}",
        alt=f"Best loss against {COSTS[cost].lower()}: {', '.join(p.label for p in points)}",
    )
    if above := count_hidden_lines(figure):
        names = ", ".join(map(verbatim, above))
        st.caption(f"Higher than what is shown: {names}; a double click in the picture shows all.")


def cost_points(groups: list[Group], style: dict[str, Style], cost: str) -> list[CostPoint]:
    """A point for each group whose cost is known: that of its best points, in the mean."""
    points = []
    for group in groups:
        bests = [run.curve.loc[run.curve["val_loss"].idxmin()] for run in group.runs]
        config = group.first.config
        if cost == "parameters":
            spent = float(config.parameters) if config else float("nan")
        else:
            spent = sum(float(best[cost]) for best in bests) / len(bests)
        if spent > 0:
            losses = [float(best["val_loss"]) for best in bests]
            look = style[group.label]
            points.append(
                CostPoint(
                    label=in_legend(group, look),
                    cost=spent,
                    loss=sum(losses) / len(losses),
                    low=min(losses),
                    high=max(losses),
                    colour=look.colour,
                    symbol=look.pattern,
                )
            )
    return points
