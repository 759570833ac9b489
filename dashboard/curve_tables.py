"""The tables below the curves: each group against the baseline, each run, and who gets there when.

Frames in, frames and widgets out; what is compared is reckoned in `gridlstm.curves`.
"""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.runs import UNKNOWN_DATA, CurveRun, Group
from gridlstm.curves import VERDICTS, compare_groups, convert, summary

NOISE_HELP = (
    "Runs that differ in nothing but their **seed** show how much is luck. The difference of two "
    "mean best losses is called **within noise** if it is no larger than half the width of its "
    "95 % confidence interval (Student's t): t(0.975, n + m − 2) · s · √(1/n + 1/m), for n runs of "
    "the model and m of the baseline; s² is the sum of their squared deviations, each from the "
    "mean of its own group, over n + m − 2. So a group with one run is taken to scatter as the "
    "other does. With **one seed each** nothing tells how large the noise is, and no difference "
    "can be called real."
)
OPERATIONS_HELP = (
    "Floating-point operations of training: bytes read × multiply-adds of the weights for one byte "
    "× 2 (a multiplication and an addition) × 3 (forward, and backward twice that). What is done "
    "besides the products with weights is not counted."
)
DATA_HELP = (
    "The text whose validation part the losses were measured on. It is not known of imported and "
    "watched runs: they are compared only with others of the same file."
)
PARAMETERS_HELP = "How many numbers the training has set: all weights and biases."
SEED_HELP = (
    "What the random numbers of a run begin from: its first weights, and what dropout hides."
)
NUMBER = st.column_config.NumberColumn
TEXT = st.column_config.TextColumn
# In pixels: most names whole, and the figures beside them still in sight.
MODEL_WIDTH = 250


def run_summary(runs: list[CurveRun], baselines: list[CurveRun]) -> pd.DataFrame:
    """`summary` of the runs, with what each of them is; those of other data apart."""
    table = summary(
        {run.label: run.curve for run in runs},
        {run.label for run in baselines},
        {run.label: run.data for run in runs},
    )
    known = {
        "architecture": [run.architecture for run in runs],
        "layers": [run.config.layers if run.config else None for run in runs],
        "units": [run.config.units if run.config else None for run in runs],
        "dropout": [run.config.dropout if run.config else None for run in runs],
        "seed": [run.seed for run in runs],
        "parameters": [run.config.parameters if run.config else None for run in runs],
        "data": [run.data_name or UNKNOWN_DATA for run in runs],
    }
    for name in ("layers", "units", "seed", "parameters"):
        known[name] = pd.array(known[name], dtype="Int64")
    return table.assign(**known)


def group_comparison(
    groups: list[Group], baselines: dict[str, str | None], equal_bytes: bool
) -> pd.DataFrame:
    """`compare_groups` of the groups by their labels."""
    curves = {run.label: run.curve for group in groups for run in group.runs}
    members = {group.label: [run.label for run in group.runs] for group in groups}
    return compare_groups(curves, members, baselines, equal_bytes)


def show_groups(table: pd.DataFrame, groups: list[Group], unit: str) -> None:
    """The groups in `table`, which are among `groups`, against the baseline; best first."""
    by_label = {group.label: group.first for group in groups}
    configs = [by_label[label].config for label in table["group"]]
    shown = pd.DataFrame(
        {
            "Model": table["group"],
            f"Best, {unit}": convert(table["best_loss"], unit),
            "Against the baseline": table["difference_percent"],
            "Is it more than noise?": table["verdict"].map(VERDICTS),
            "Noise": table["noise_percent"],
            "Seeds": table["runs"],
            "±": convert(table["deviation"], unit),
            "Parameters": pd.array([c.parameters if c else None for c in configs], "Int64"),
            "Compared up to, million bytes": table["compared_bytes"] / 1e6,
        }
    ).sort_values(f"Best, {unit}", ignore_index=True)
    st.dataframe(
        shown,
        hide_index=True,
        placeholder="–",
        column_config={
            "Model": TEXT(width=MODEL_WIDTH),
            "Seeds": NUMBER(help="How many runs differ in nothing but their seed."),
            "Parameters": NUMBER(format="localized", help=PARAMETERS_HELP),
            f"Best, {unit}": NUMBER(
                format="%.4f",
                width=76,
                help=f"The lowest validation loss so far, {unit} per byte, the mean over seeds.",
            ),
            "±": NUMBER(
                format="%.4f",
                help="Standard deviation of the best losses over the seeds (n − 1).",
            ),
            "Against the baseline": NUMBER(
                format="%+.2f %%",
                help="Of the losses compared: below zero is better.",
                width=128,
            ),
            "Noise": NUMBER(format="%.2f %%", help=NOISE_HELP),
            "Is it more than noise?": TEXT(help=NOISE_HELP, width=215),
            "Compared up to, million bytes": NUMBER(
                format="%.1f",
                help="Up to how many bytes read the losses of both were looked at.",
            ),
        },
    )


def show_reached(table: pd.DataFrame, baseline: str) -> None:
    """Where each run first has the baseline's best loss; `table` is that of `run_summary`."""
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
    st.dataframe(
        shown,
        hide_index=True,
        placeholder="–",
        column_config={
            "Model": TEXT(width=MODEL_WIDTH),
            "Seed": NUMBER(help=SEED_HELP),
            "There": TEXT(
                help=f"Whether a validation loss was at or under the best one of {baseline}."
            ),
            "At update": NUMBER(format="localized"),
            "Million bytes": NUMBER(format="%.1f", help="How much it had read by then."),
            "Minutes": NUMBER(format="%.1f", help="How long it had trained by then."),
            "10¹² operations": NUMBER(format="%.1f", help=OPERATIONS_HELP),
        },
    )


def show_runs(table: pd.DataFrame, unit: str) -> None:
    """Every run, what it is and how far it came; `table` is that of `run_summary`."""
    shown = pd.DataFrame(
        {
            "Model": table["model"],
            "Architecture": table["architecture"],
            "Layers": table["layers"],
            "Units": table["units"],
            "Dropout": table["dropout"].astype(float),
            "Seed": table["seed"],
            "Parameters": table["parameters"],
            f"Best, {unit}": convert(table["best_loss"], unit),
            "Best against the baseline's": table["difference_percent"],
            "At update": table["best_update"],
            f"Last, {unit}": convert(table["last_loss"], unit),
            "Million bytes read": table["bytes"].astype(float) / 1e6,
            "Wall time, minutes": table["seconds"] / 60,
            "10¹² operations": table["operations"] / 1e12,
            "Measured on": table["data"],
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        placeholder="–",
        column_config={
            "Model": TEXT(width=MODEL_WIDTH),
            "Units": NUMBER(help="Numbers that each layer carries from one character to the next."),
            "Dropout": NUMBER(
                format="%.2f", help="The share of values set to zero at random during training."
            ),
            "Seed": NUMBER(help=SEED_HELP),
            "Parameters": NUMBER(format="localized", help=PARAMETERS_HELP),
            f"Best, {unit}": NUMBER(
                format="%.4f", help=f"The lowest validation loss so far, {unit} per byte."
            ),
            "Best against the baseline's": NUMBER(
                format="%+.2f %%",
                help="Against the lowest best loss of the baseline's runs, whatever either has "
                "read: below zero is better. The table above compares at equal bytes.",
            ),
            "At update": NUMBER(
                format="localized", help="After how many updates the lowest loss was measured."
            ),
            f"Last, {unit}": NUMBER(format="%.4f", help="The latest validation loss."),
            "Million bytes read": NUMBER(format="%.1f"),
            "Wall time, minutes": NUMBER(format="%.1f"),
            "10¹² operations": NUMBER(format="%.1f", help=OPERATIONS_HELP),
            "Measured on": TEXT(help=DATA_HELP),
        },
    )


def all_points(runs: list[CurveRun]) -> pd.DataFrame:
    """Every logged row of the runs, losses in nats per byte as in their files."""
    frames = []
    for run in runs:
        frame = run.curve.copy()
        frame.insert(0, "model", run.label)
        frame["data"] = run.data_name or UNKNOWN_DATA
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def offer_downloads(table: pd.DataFrame, groups: pd.DataFrame, runs: list[CurveRun]) -> None:
    offers = (
        ("Runs as CSV", table, "curves-summary.csv", "A row a run"),
        ("Comparison as CSV", groups, "curves-comparison.csv", "A row a group of seeds"),
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
