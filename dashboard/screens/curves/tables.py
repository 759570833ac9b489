"""The tables below the curves: each group against the baseline, who gets there when, and each run.

Frames in, frames and widgets out; what is compared is reckoned in `gridlstm.curves`.
"""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.screens.curves.runs import UNKNOWN_DATA, CurveRun, Group
from dashboard.screens.curves.verdict import NOISE_HELP
from gridlstm.curves import VERDICTS, convert, summary

NUMBER = st.column_config.NumberColumn
TEXT = st.column_config.TextColumn
# How a column is written and explained, by its heading. Those with the unit of losses in it, or of
# another meaning in each table, are described where they are shown.
COLUMNS = {
    # In pixels: names whole, as their ends tell them apart, and the figures still in sight.
    "Model": TEXT(width=360),
    "Units": NUMBER(help="Numbers that each layer carries from one character to the next."),
    "Dropout": NUMBER(
        format="%.2f", help="The share of values set to zero at random during training."
    ),
    "Seed": NUMBER(
        help="What the random numbers of a run begin from: its first weights, and what dropout "
        "hides."
    ),
    "Seeds": NUMBER(help="How many runs differ in nothing but their seed."),
    "Parameters": NUMBER(format="localized", help=words.PARAMETERS),
    "±": NUMBER(
        format="%.4f", help="Standard deviation of the best losses over the seeds (n − 1)."
    ),
    "Against the baseline": NUMBER(
        format="%+.2f %%", help="Of the losses compared: below zero is better.", width=128
    ),
    "Best against the baseline's": NUMBER(
        format="%+.2f %%",
        help="Against the lowest best loss of the baseline's runs, whatever either has read: below "
        "zero is better. The table above compares at equal bytes.",
    ),
    "Noise": NUMBER(format="%.2f %%", help=NOISE_HELP),
    "Is it more than noise?": TEXT(help=NOISE_HELP, width=215),
    "Compared up to, million bytes": NUMBER(
        format="%.1f", help="Up to how many bytes read the losses of both were looked at."
    ),
    "Million bytes": NUMBER(format="%.1f", help="How much it had read by then."),
    "Million bytes read": NUMBER(format="%.1f"),
    "Minutes": NUMBER(format="%.1f", help="How long it had trained by then."),
    "Wall time, minutes": NUMBER(format="%.1f"),
    "10¹² operations": NUMBER(
        format="%.1f",
        help="Floating-point operations of training: bytes read × multiply-adds of the weights for "
        "one byte × 2 (a multiplication and an addition) × 3 (forward, and backward twice that). "
        "What is done besides the products with weights is not counted.",
    ),
    "Measured on": TEXT(
        help="The text whose validation part the losses were measured on. It is not known of "
        "imported and watched runs: they are compared only with others of the same file."
    ),
}


def show_groups(comparison: pd.DataFrame, groups: list[Group], unit: str) -> None:
    """The groups against the baseline, best first; `comparison` is that of `group_comparison`."""
    configs = {group.label: group.first.config for group in groups}
    table = comparison[comparison["group"].isin(configs)]
    parameters = [c.parameters if (c := configs[label]) else None for label in table["group"]]
    best = f"Best, {unit}"
    shown = pd.DataFrame(
        {
            "Model": table["group"],
            best: convert(table["best_loss"], unit),
            "Against the baseline": table["difference_percent"],
            "Is it more than noise?": table["verdict"].map(VERDICTS),
            "Noise": table["noise_percent"],
            "Seeds": table["runs"],
            "±": convert(table["deviation"], unit),
            "Parameters": pd.array(parameters, "Int64"),
            "Compared up to, million bytes": table["compared_bytes"] / 1e6,
        }
    ).sort_values(best, ignore_index=True)
    lowest = f"The lowest validation loss so far, {unit} per byte, the mean over seeds."
    _show(shown, {best: NUMBER(format="%.4f", width=76, help=lowest)})


def run_summary(
    everything: list[CurveRun], baselines: list[CurveRun], runs: list[CurveRun]
) -> pd.DataFrame:
    """`summary` of all runs, with what each of them is, those of other data apart: the rows of
    `runs`."""
    table = summary(
        {run.label: run.curve for run in everything},
        {run.label for run in baselines},
        {run.label: run.data for run in everything},
    )
    known = {
        "architecture": [run.architecture for run in everything],
        "layers": [run.config.layers if run.config else None for run in everything],
        "units": [run.config.units if run.config else None for run in everything],
        "dropout": [run.config.dropout if run.config else None for run in everything],
        "seed": [run.seed for run in everything],
        "parameters": [run.config.parameters if run.config else None for run in everything],
        "data": [run.data_name or UNKNOWN_DATA for run in everything],
    }
    for name in ("layers", "units", "seed", "parameters"):
        known[name] = pd.array(known[name], dtype="Int64")
    return _rows_of(runs, table.assign(**known))


def show_reached(summed: pd.DataFrame, runs: list[CurveRun], baseline: str) -> None:
    """Where each of `runs` first has the best loss of what a sentence calls `baseline`; `summed` is
    that of `run_summary`."""
    table = _rows_of(runs, summed)
    order = table["reached_bytes"].fillna(np.inf)
    table = table.assign(order=order).sort_values(["order", "best_loss"], ignore_index=True)
    there = np.where(table["reached_update"].notna(), "reached", "not reached")
    shown = pd.DataFrame(
        {
            "Model": table["model"],
            "Seed": table["seed"],
            "There": np.where(table["difference_percent"].isna(), "not compared", there),
            "At update": table["reached_update"].astype("Int64"),
            "Million bytes": table["reached_bytes"] / 1e6,
            "Minutes": table["reached_seconds"] / 60,
            "10¹² operations": table["reached_operations"] / 1e12,
        }
    )
    reached = f"Whether a validation loss was at or under the best one of {baseline}."
    _show(shown, {"There": TEXT(help=reached), "At update": NUMBER(format="localized")})


def show_runs(summed: pd.DataFrame, runs: list[CurveRun], unit: str) -> None:
    """What each of `runs` is and how far it came; `summed` is that of `run_summary`."""
    table = _rows_of(runs, summed)
    best, last = f"Best, {unit}", f"Last, {unit}"
    shown = pd.DataFrame(
        {
            "Model": table["model"],
            "Architecture": table["architecture"],
            "Layers": table["layers"],
            "Units": table["units"],
            "Dropout": table["dropout"].astype(float),
            "Seed": table["seed"],
            "Parameters": table["parameters"],
            best: convert(table["best_loss"], unit),
            "Best against the baseline's": table["difference_percent"],
            "At update": table["best_update"],
            last: convert(table["last_loss"], unit),
            "Million bytes read": table["bytes"].astype(float) / 1e6,
            "Wall time, minutes": table["seconds"] / 60,
            "10¹² operations": table["operations"] / 1e12,
            "Measured on": table["data"],
        }
    )
    lowest = f"The lowest validation loss so far, {unit} per byte."
    measured = "After how many updates the lowest loss was measured."
    own = {
        best: NUMBER(format="%.4f", help=lowest),
        "At update": NUMBER(format="localized", help=measured),
        last: NUMBER(format="%.4f", help="The latest validation loss."),
    }
    _show(shown, own)


def all_points(runs: list[CurveRun]) -> pd.DataFrame:
    """Every logged row of the runs, losses in nats per byte as in their files."""
    frames = []
    for run in runs:
        frame = run.curve.copy()
        frame.insert(0, "model", run.label)
        frame["data"] = run.data_name or UNKNOWN_DATA
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def offer_downloads(summed: pd.DataFrame, comparison: pd.DataFrame, runs: list[CurveRun]) -> None:
    """Buttons for both tables as they are reckoned, and for all points of the runs, as CSV."""
    offers = (
        ("Runs as CSV", summed, "curves-summary.csv", "A row a run"),
        ("Comparison as CSV", comparison, "curves-comparison.csv", "A row a group of seeds"),
        ("All points as CSV", all_points(runs), "curves.csv", "Every logged point, not smoothed"),
    )
    with st.container(horizontal=True):
        for label, frame, file, what in offers:
            st.download_button(
                label,
                frame.to_csv(index=False),
                file,
                "text/csv",
                on_click="ignore",
                icon=":material/download:",
                help=f"{what}; losses in nats per byte, time in seconds.",
            )


def _rows_of(runs: list[CurveRun], summed: pd.DataFrame) -> pd.DataFrame:
    return summed[summed["model"].isin([run.label for run in runs])]


def _show(frame: pd.DataFrame, own: dict) -> None:
    """A table with its columns as in `COLUMNS`, and its `own` ones."""
    common = {heading: COLUMNS[heading] for heading in frame if heading in COLUMNS}
    st.dataframe(frame, hide_index=True, placeholder="–", column_config=common | own)
