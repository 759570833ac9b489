"""Writes the files keras3-*: `KERAS_BACKEND=jax python write_keras3.py` with Keras 3 and JAX."""

import json
import pathlib

import keras
import numpy as np
from keras import layers

FOLDER = pathlib.Path(__file__).parent
INDICES = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5, 0]
TOKENS = 7
expected = {}


def randomise(model, seed):
    random = np.random.default_rng(seed)
    model.set_weights(
        [random.normal(0, 0.9, w.shape).astype("float32") for w in model.get_weights()]
    )


def keep(name, model, one_hot=False):
    randomise(model, len(expected))
    path = FOLDER / name
    model.save_weights(path) if name.endswith(".weights.h5") else model.save(path)
    read = np.eye(TOKENS)[[INDICES]] if one_hot else np.array([INDICES])
    expected[name] = {
        "indices": INDICES,
        "probabilities": model.predict(read, verbose=0)[0].astype(float).round(7).tolist(),
    }


def stack(cell, input_shape, *, embedding=True, time=False, **options):
    model = [keras.Input(input_shape)]
    if embedding:
        model.append(layers.Embedding(TOKENS, 4, name="signs"))
    model += [
        cell(5, return_sequences=True, name="zulu", **options),
        layers.Dropout(0.2),
        cell(5, return_sequences=True, name="alpha", **options),
    ]
    dense = layers.Dense(TOKENS, activation="softmax", name="next")
    model.append(layers.TimeDistributed(dense) if time else dense)
    return keras.Sequential(model)


keep("keras3-lstm.keras", stack(layers.LSTM, (None,), time=True))
keep("keras3-lstm-hard.h5", stack(layers.LSTM, (None,), recurrent_activation="hard_sigmoid"))
keep("keras3-lstm.weights.h5", stack(layers.LSTM, (None,)))
keep("keras3-gru.keras", stack(layers.GRU, (None,)))
keep("keras3-gru-before.keras", stack(layers.GRU, (None,), reset_after=False))
keep(
    "keras3-gru-unbiased.keras",
    stack(layers.GRU, (None, TOKENS), embedding=False, use_bias=False, reset_after=False),
    one_hot=True,
)
keep("keras3-gru.weights.h5", stack(layers.GRU, (None,)))
keep("keras3-rnn.keras", stack(layers.SimpleRNN, (None,)))

# A graph whose layers are defined in another order than they are connected in.
upper = layers.LSTM(5, return_sequences=True, name="a_upper")
lower = layers.LSTM(5, return_sequences=True, name="b_lower")
given = keras.Input((None,), dtype="int32")
vectors = layers.Embedding(TOKENS, 3)(given)
dense = layers.Dense(TOKENS)
out = layers.Activation("softmax")(dense(upper(lower(vectors))))
keep("keras3-functional.keras", keras.Model(given, out))
keep("keras3-functional.h5", keras.Model(given, out))

# What is refused.
keep(
    "keras3-bidirectional.keras",
    keras.Sequential(
        [
            keras.Input((None,)),
            layers.Embedding(TOKENS, 4),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Dense(TOKENS, activation="softmax"),
        ]
    ),
)
quantised = stack(layers.LSTM, (None,))
randomise(quantised, 50)
quantised.quantize("int8")
quantised.save(FOLDER / "keras3-int8.keras")
masked = keras.Sequential(
    [
        keras.Input((None,)),
        layers.Embedding(TOKENS, 4, mask_zero=True),
        layers.LSTM(5, return_sequences=True),
        layers.Dense(TOKENS, activation="softmax"),
    ]
)
keep("keras3-masked.keras", masked)
(FOLDER / "keras3.json").write_text(
    json.dumps({"written_by": f"Keras {keras.__version__}", "models": expected})
)
