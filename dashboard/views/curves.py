"""How well each model predicts, while it learns: all validation curves in one picture."""

import math

import pandas as pd
import streamlit as st

from dashboard import choices, loading
from dashboard.charts.curves import TITLES, Look, Run, curves_figure
from dashboard.charts.theme import plot_config
from dashboard.loading import ModelEntry
from gridlstm.curves import UNITS, CurveError, convert, curve_series, read_published, summary

# A run in training writes its curve after every validation, which is minutes apart.
SECONDS_BETWEEN_LOOKS = 5
AXES = {"update": "Updates", "epoch": "Epochs", "bytes": "Bytes read", "seconds": "Wall time"}
PUBLISHED = loading.FOLDER / loading.PUBLISHED_CURVES
BITS_HELP = (
    "How many yes-or-no questions the model needs, on average, to find out the next byte of a "
    "text it has not been trained on. A byte has 8 bits, so 8 is knowing nothing, and 0 would be "
    "knowing every byte beforehand. **Nats** are the same in natural logarithms: 1 bit is 0.693 "
    "nats."
)
# By key: label, whether it is on at first, and what it does.
SWITCHES = {
    "log_x": ("Log x axis", False, "Equal distances are equal ratios: early updates get room."),
    "log_y": ("Log y axis", False, "Equal distances are equal ratios of the loss."),
    "training": (
        "Training loss",
        False,
        "The mean loss since the point before, on the text being learned, with dropout switched "
        "on: because of that it can lie above the validation loss.",
    ),
    "entropy": (
        "Single-byte entropy",
        True,
        "A level line: the loss of a model that knows only how frequent each byte is, computed on "
        "the validation part of the same data.",
    ),
    "published": (
        "Published curves",
        False,
        "The four curves of the original experiment (coreylynch, grid-lstm), read off its picture. "
        "They were measured on other data.",
    ),
}


def data_key(entry: ModelEntry) -> tuple | None:
    """What two runs must share for their losses to be comparable; None if it is not known yet."""
    if entry.metadata is None:
        return None
    data = entry.metadata.data
    return data.sha256, data.bytes, data.train_fraction


def data_name(entry: ModelEntry) -> str:
    return entry.metadata.data.name if entry.metadata else "not known before the first weights"


def summaries(runs: dict[str, ModelEntry]) -> pd.DataFrame:
    """`summary` of the runs, each compared with the best stacked model on the same data."""
    curves = {label: entry.curve for label, entry in runs.items()}
    stacked = {
        label
        for label, entry in runs.items()
        if entry.metadata and entry.metadata.model.architecture == "stacked"
    }
    # A run whose data are not known yet is compared with none.
    table = summary(
        curves, stacked, {label: data_key(entry) or label for label, entry in runs.items()}
    )
    table["data"] = [data_name(runs[label]) for label in table["model"]]
    return table


def all_points(runs: dict[str, ModelEntry]) -> pd.DataFrame:
    """Every logged row of the runs, losses in nats per byte as in their files."""
    frames = []
    for label, entry in runs.items():
        frame = entry.curve.copy()
        frame.insert(0, "model", label)
        frame["data"] = data_name(entry)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def references(runs: dict[str, ModelEntry]) -> dict[str, float]:
    """The single-byte entropy of each data set in sight, nats per byte, by a label."""
    datas = {
        data_key(entry): entry.metadata.data
        for entry in runs.values()
        # A visitor's file may claim anything; what is no loss cannot be drawn as one.
        if entry.metadata and 0 < entry.metadata.data.byte_entropy < math.inf
    }
    if len(datas) == 1:
        return {"Single-byte entropy": next(iter(datas.values())).byte_entropy}
    return {f"Single-byte entropy of {data.name}": data.byte_entropy for data in datas.values()}


def published_curves() -> dict[str, pd.DataFrame]:
    """The shipped file's curves by label; none, with the reason shown, if it cannot be read."""
    try:
        curves = read_published(PUBLISHED)
    except CurveError as error:
        st.warning(f"{PUBLISHED.name}: {error}")
        return {}
    return {f"Published {name} (enwik8)": frame for name, frame in curves.items()}


def choose_runs(runs: dict[str, ModelEntry]) -> dict[str, ModelEntry]:
    """A selector of runs. None chosen means all: so a run that begins now appears by itself."""
    chosen = st.multiselect(
        "Models",
        list(runs),
        placeholder="All models; choose some to see only those",
        key="runs",
        bind="query-params",
    )
    return {label: runs[label] for label in chosen or runs}


def choose_measures() -> tuple[str, str, float]:
    """Selectors of the x axis, the loss' unit and the smoothing."""
    with st.container(horizontal=True, gap="medium"):
        axis = st.segmented_control(
            "Against",
            list(AXES),
            default="update",
            required=True,
            format_func=AXES.get,
            help="An **update** changes the weights once, after one batch. An **epoch** is one "
            "pass over the training data. **Wall time** is what the clock on the wall showed.",
            key="against",
            bind="query-params",
        )
        unit = st.segmented_control(
            "Loss in",
            UNITS,
            default="bits",
            required=True,
            help=BITS_HELP,
            key="loss_in",
            bind="query-params",
        )
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.99,
            0.0,
            0.01,
            help="Draws a moving average: the higher, the more the points before count (an "
            "exponential moving average, debiased). The line as logged stays, faint, and the "
            "pointer shows both values.",
            key="smoothing",
            bind="query-params",
            width=280,
        )
    return axis, unit, smoothing


def choose_switches() -> dict[str, bool]:
    """All that can only be on or off, by its key in `SWITCHES`."""
    with st.container(horizontal=True, gap="medium"):
        return {
            key: st.toggle(label, value, help=meaning, key=key, bind="query-params")
            for key, (label, value, meaning) in SWITCHES.items()
        }


def explain(look: Look, published: bool, runs: dict[str, ModelEntry]) -> None:
    """What has to be said about this picture, and no more."""
    if published:
        st.warning(
            "The published curves (dotted) were measured on **other data**: enwik8, ten times the "
            "size of the text shipped here, with 1000 units a layer. Their losses cannot be "
            "compared with those of the other lines."
            + ("" if look.axis == "update" else " They are shown only against updates.")
        )
    if len({data_key(entry) for entry in runs.values() if entry.metadata}) > 1:
        st.info(
            "These models were not all measured on the same data, so their lines cannot all be "
            "compared: see the last column of the table."
        )
    hidden = 0
    for entry in runs.values():
        series = curve_series(entry.curve, look.axis, "validation", look.unit)
        hidden += int(((look.log_x & (series.x <= 0)) | (look.log_y & (series.raw <= 0))).sum())
    if hidden:
        st.info(f"A log axis has no place for zero: points not shown: {hidden}.")


def line_key(look: Look, runs: dict[str, ModelEntry]) -> str:
    """What the lines of the picture are, in one sentence of Markdown."""
    names = {data_name(entry) for entry in runs.values() if entry.metadata}
    parts = ["Each point is one measurement on text that the model was not trained on"]
    if len(names) == 1:
        # As code, a name that comes with an upload is shown as it is.
        parts[0] += f", of the data `{names.pop().replace('`', '')}`"
    if look.training:
        parts.append("the thin lines with open points are the losses in training")
    if look.smoothing:
        parts.append("the faint lines are not smoothed")
    return "; ".join(parts) + "."


def show_table(table: pd.DataFrame, unit: str) -> None:
    shown = pd.DataFrame(
        {
            "Model": table["model"],
            f"Best, {unit}": convert(table["best_loss"], unit),
            "Against the best stacked": table["difference_percent"],
            "At update": table["best_update"],
            f"Last, {unit}": convert(table["last_loss"], unit),
            "Million bytes read": table["bytes"] / 1e6,
            "Wall time, minutes": table["seconds"] / 60,
            "Measured on": table["data"],
        }
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        column_config={
            "Model": st.column_config.TextColumn(width="medium"),
            f"Best, {unit}": number(
                format="%.4f", help=f"The lowest validation loss so far, {unit} per byte."
            ),
            "Against the best stacked": number(
                format="%+.2f %%",
                help="Best loss against that of the best stacked LSTM on the same data: below zero "
                "is better. A fair comparison needs the same bytes read, too.",
            ),
            "At update": number(format="localized"),
            f"Last, {unit}": number(format="%.4f"),
            "Million bytes read": number(format="%.1f"),
            "Wall time, minutes": number(format="%.1f"),
            "Measured on": st.column_config.TextColumn(
                help="The data whose validation part the losses were measured on."
            ),
        },
    )


def offer_downloads(table: pd.DataFrame, points: pd.DataFrame) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "Table as CSV",
            table.to_csv(index=False),
            "curves-summary.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
            help="With the losses in nats per byte and the time in seconds.",
        )
        st.download_button(
            "All points as CSV",
            points.to_csv(index=False),
            "curves.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
            help="Every logged point of these models, losses in nats per byte, not smoothed.",
        )


@st.fragment(run_every=SECONDS_BETWEEN_LOOKS)
def live_curves() -> None:
    """All that changes while a model is in training."""
    found = loading.catalogue()
    # In a place of their own: were the widgets below to move, their binding to the address is lost.
    with st.container():
        for problem in found.problems:
            st.warning(problem)
    drawn = {entry.name: entry for entry in found.models if entry.curve is not None}
    everything = {label: drawn[name] for name, label in choices.labels(drawn).items()}
    if not everything:
        st.info(
            "There are no curves yet. Train a model with `python -m gridlstm train`, or bring the "
            "`.csv` of one on the page **Models**: its curve appears here by itself."
        )
        return
    runs = choose_runs(everything)
    axis, unit, smoothing = choose_measures()
    on = choose_switches()
    look = Look(axis, unit, smoothing, on["log_x"], on["log_y"], on["training"])
    explain(look, on["published"], runs)
    places = {label: place for place, label in enumerate(everything)}
    figure = curves_figure(
        [Run(label, entry.curve, places[label]) for label, entry in runs.items()],
        look,
        references(runs) if on["entropy"] else {},
        published_curves() if on["published"] else {},
    )
    st.plotly_chart(
        figure,
        config=plot_config("curves"),
        key="curves",
        alt=f"Validation loss against {TITLES[axis].lower()}: {', '.join(runs)}",
    )
    st.caption(line_key(look, runs))
    st.subheader("How far each model came", anchor=False)
    table = summaries(everything)
    table = table[table["model"].isin(list(runs))]
    show_table(table, unit)
    offer_downloads(table, all_points(runs))


st.title("Curves")
st.markdown(
    "A **validation curve** shows how badly a model guesses text it was not trained on, while it "
    "learns: **lower is better**. The loss is in **bits per byte**: what the model still lacks, on "
    "average, to know the next byte. A model in training moves by itself.",
    help=BITS_HELP,
)
live_curves()
