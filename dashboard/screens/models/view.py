"""What each model is, told by its own file, and a place for the visitor's own."""

import math

import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.screens import choices
from dashboard.screens.models.layer_equations import show_layer_equations
from dashboard.screens.models.own_models import bring_models
from dashboard.screens.tokens import token_name
from dashboard.serving import loading
from dashboard.serving.loading import ModelEntry
from dashboard.session import Value, session
from dashboard.words import verbatim
from gridlstm.config import MODEL_MEANINGS
from gridlstm.curves import convert
from gridlstm.training.settings import SETTING_MEANINGS

MEANINGS = {
    **MODEL_MEANINGS,
    **SETTING_MEANINGS,
    "begun_from": "the checkpoint whose weights the training went on from",
    "trained_by": "the program that trained it; what else it was trained with is not known",
    "unknown_in_alphabet": "how much of that program's alphabet was left out",
    "unknown_in_text": "how much of the text that the loss is measured on it cannot read",
}
DESCRIBED: Value[str] = Value("described")


def overview(models: list[ModelEntry]) -> pd.DataFrame:
    """One row a model with weights, from the metadata in its file."""
    rows = []
    for entry in models:
        about = entry.metadata
        rows.append(
            {
                "Model": about.model.title,
                "Name": entry.name,
                "Bits per byte": convert(about.validation_loss, "bits"),
                "Nats per byte": about.validation_loss,
                # Of a model that another program trained these are not known: how many numbers it
                # has there, above all, whose alphabet is another.
                "Parameters": None if "trained_by" in about.training else about.model.parameters,
                "Million bytes seen": about.bytes_seen / 1e6 or None,
                "Updates": about.updates or None,
                "Minutes": about.seconds / 60 or None,
                "Weights shared": about.model.tie,
                "Went on from": entry.initialised_from,
                "Machine": about.machine or None,
                "File": entry.path.name,
            }
        )
    return pd.DataFrame(rows)


def describe(entry: ModelEntry) -> None:
    """Everything a checkpoint says about itself."""
    about = entry.metadata
    bits = convert(about.validation_loss, "bits")
    measured = "not measured" if math.isnan(bits) else f"{bits:.4f} bits per byte"
    st.markdown("**Data and result**")
    st.table(
        {
            "Trained on": verbatim(entry.text),
            "Data": verbatim(about.data.name),
            "SHA-256 of the data": verbatim(about.data.sha256[:16]) + "…",
            "Size of the data": f"{about.data.bytes:,} bytes",
            "Of these": f"the first {about.data.train_fraction:.0%}",
            "Validation loss": measured,
            "Measured on": f"{about.validation_bytes:,} bytes of the rest",
            "Entropy of single bytes": f"{convert(about.data.byte_entropy, 'bits'):.3f} bits",
            "Machine": verbatim(about.machine or "not known"),
            "Libraries": verbatim(
                ", ".join(f"{k} {v}" for k, v in sorted(about.libraries.items())) or "not known"
            ),
        }
    )
    st.markdown("**Settings**")
    settings = {"dropout": about.model.dropout, **about.training}
    st.table(
        pd.DataFrame(
            {
                "Setting": verbatim(name.replace("_", " ")),
                "Value": verbatim(f"{value:,}" if type(value) is int else str(value)),
                "What it is": MEANINGS.get(name, ""),
            }
            for name, value in settings.items()
            if value is not None
        ).set_index("Setting")
    )


st.title("Models")
st.markdown(
    "Every figure here is read from the checkpoint's own file. Losses on different texts cannot be "
    "compared, so each text has a table of its own; nor can those of models trained for different "
    "lengths of time."
)
found = loading.catalogue()
for problem in found.problems:
    st.warning(problem)
models = found.usable
bring_models(models)
for part in loading.by_text(models.values()):
    st.header(f"Trained on {verbatim(part[0].text)}", anchor=False)
    st.dataframe(
        overview(part),
        hide_index=True,
        placeholder="–",
        column_config={
            "Bits per byte": st.column_config.NumberColumn(
                format="%.3f",
                help="Validation loss: how many bits the model needs, on average, for the next "
                "byte of text it has not been trained on. Lower is better; 8 is knowing nothing. "
                "Measured on the whole of that text, so it is not quite that of a point on the "
                "page Curves, which is measured on a part.",
            ),
            "Nats per byte": st.column_config.NumberColumn(
                format="%.3f", help="The same loss in natural units: bits times ln 2."
            ),
            "Parameters": st.column_config.NumberColumn(format="localized", help=words.PARAMETERS),
            "Updates": st.column_config.NumberColumn(
                format="localized",
                help="How many times its weights had been changed when it was best.",
            ),
            "Name": st.column_config.TextColumn(help="What links and files call it."),
            "Million bytes seen": st.column_config.NumberColumn(format="%.1f"),
            "Minutes": st.column_config.NumberColumn(format="%.0f"),
            "Weights shared": st.column_config.TextColumn(
                help="For a grid: which weights its layers share. “all” means that every layer has "
                "the same (paper section 3.5)."
            ),
            "Went on from": st.column_config.TextColumn(
                help="The model whose weights its training went on from. Those called “cooled” did "
                "so at a learning rate that fell to 0."
            ),
        },
    )
if models:
    in_use = session.model.get()
    choices.keep_valid(DESCRIBED, list(models), in_use if in_use in models else None)
    described = choices.choose_model(DESCRIBED, "Details of", models)
    describe(described)
    show_layer_equations(described.metadata.model, token_name(described))
else:
    st.info("There is no model in the folder `checkpoints/` yet.")
