"""Writes the files keras2-* and tf1-*: `python write_keras2.py` with TensorFlow 2.15."""

import json
import pathlib
import pickle

import numpy as np
import tensorflow as tf

keras, layers = tf.keras, tf.keras.layers
v1 = tf.compat.v1
FOLDER = pathlib.Path(__file__).parent
INDICES = [3, 1, 4, 1, 5, 0, 2, 6, 5, 3, 5, 0]
TOKENS = 7
expected = {}


def randomise(weights, seed):
    random = np.random.default_rng(seed)
    return [random.normal(0, 0.9, w.shape).astype("float32") for w in weights]


def record(name, probabilities):
    expected[name] = {
        "indices": INDICES,
        "probabilities": np.asarray(probabilities, float).round(7).tolist(),
    }


def keep(name, model, one_hot=False):
    model.set_weights(randomise(model.get_weights(), 100 + len(expected)))
    path = str(FOLDER / name)
    model.save_weights(path) if "weights" in name else model.save(path)
    read = np.eye(TOKENS)[[INDICES]] if one_hot else np.array([INDICES])
    if len(model.output_shape) == 3:
        record(name, model.predict(read, verbose=0)[0])
    else:
        record(name, [model.predict(read[:, : n + 1], verbose=0)[0] for n in range(len(INDICES))])


def stack(cell, first, **options):
    return keras.Sequential(
        [
            first,
            cell(5, return_sequences=True, name="zulu", **options),
            cell(5, return_sequences=True, name="alpha", **options),
            layers.TimeDistributed(layers.Dense(TOKENS), name="next"),
            layers.Activation("softmax"),
        ]
    )


def embedding():
    return layers.Embedding(TOKENS, 4, name="signs")


keep("keras2-lstm.h5", stack(layers.LSTM, embedding(), recurrent_activation="hard_sigmoid"))
keep("keras2-lstm.weights.h5", stack(layers.LSTM, embedding()))
keep("keras2-gru.h5", stack(layers.GRU, embedding()))
keep("keras2-gru-before.h5", stack(layers.GRU, embedding(), reset_after=False))
keep("keras2-rnn.h5", stack(layers.SimpleRNN, embedding()))
keep(
    "keras2-window.h5",
    keras.Sequential(
        [
            layers.LSTM(
                5,
                input_shape=(None, TOKENS),
                return_sequences=True,
                recurrent_activation="hard_sigmoid",
            ),
            layers.LSTM(5, recurrent_activation="hard_sigmoid"),
            layers.Dense(TOKENS, activation="softmax"),
        ]
    ),
    one_hot=True,
)

# CuDNN layers, which a CPU cannot run: an LSTM of Keras with the weights that Keras converts.
for kind, plain, options in (
    ("CuDNNLSTM", layers.LSTM, {}),
    ("CuDNNGRU", layers.GRU, {"reset_after": True}),
):
    name = f"keras2-{kind.lower()}.h5"
    cudnn = keras.Sequential(
        [
            embedding(),
            getattr(v1.keras.layers, kind)(5, return_sequences=True, name="fast"),
            layers.Dense(TOKENS, activation="softmax", name="next"),
        ]
    )
    layer = cudnn.layers[1]
    layer.build((None, None, 4))
    cudnn.layers[0].build((None, None))
    cudnn.layers[2].build((None, None, 5))
    for number, part in enumerate(cudnn.layers):
        part.set_weights(randomise(part.get_weights(), 200 + number))
    import h5py
    from keras.src.saving.legacy import hdf5_format

    with h5py.File(FOLDER / name, "w") as file:
        file.attrs["keras_version"] = "2.2.4"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": cudnn.get_config()}
        )
        hdf5_format.save_weights_to_hdf5_group(file.create_group("model_weights"), cudnn)
    same = keras.Sequential(
        [
            embedding(),
            plain(5, return_sequences=True, name="fast", **options),
            layers.Dense(TOKENS, activation="softmax", name="next"),
        ]
    )
    same.build((None, None))
    with h5py.File(FOLDER / name) as file:
        hdf5_format.load_weights_from_hdf5_group(file["model_weights"], same)
    record(name, same.predict(np.array([INDICES]), verbose=0)[0])

# TensorFlow 1 as char-rnn-tensorflow writes it, with an optimiser's slots.
for kind in ("lstm", "gru", "rnn", "full-lstm"):
    cells = {
        "lstm": v1.nn.rnn_cell.BasicLSTMCell,
        "full-lstm": v1.nn.rnn_cell.LSTMCell,
        "gru": v1.nn.rnn_cell.GRUCell,
        "rnn": v1.nn.rnn_cell.BasicRNNCell,
    }
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        stack_of = v1.nn.rnn_cell.MultiRNNCell([cells[kind](5) for _ in range(2)])
        with v1.variable_scope("rnnlm"):
            softmax_w = v1.get_variable("softmax_w", [5, TOKENS])
            softmax_b = v1.get_variable("softmax_b", [TOKENS])
        vectors = v1.get_variable("embedding", [TOKENS, 5])
        inputs = tf.nn.embedding_lookup(vectors, np.array([INDICES]))
        state = stack_of.zero_state(1, tf.float32)
        outputs = []
        with v1.variable_scope("rnnlm"):
            for step in range(len(INDICES)):
                output, state = stack_of(inputs[:, step], state)
                outputs.append(output)
        logits = tf.concat(outputs, 0) @ softmax_w + softmax_b
        v1.get_variable("Variable", initializer=0.002)
        v1.train.AdamOptimizer().minimize(tf.reduce_mean(logits))
        session.run(v1.global_variables_initializer())
        random = np.random.default_rng(5)
        for variable in v1.global_variables():
            if variable.shape.rank:
                variable.load(random.normal(0, 0.8, variable.shape).astype("float32"), session)
        v1.train.Saver().save(
            session, str(FOLDER / f"tf1-{kind}" / "model.ckpt-20"), write_meta_graph=False
        )
        record(f"tf1-{kind}/model.ckpt-20.index", session.run(tf.nn.softmax(logits)))
    signs = tuple("e ta\u00e9\u2019n")
    with open(FOLDER / f"tf1-{kind}" / "chars_vocab.pkl", "wb") as file:
        pickle.dump((signs, {sign: index for index, sign in enumerate(signs)}), file, protocol=0)
(FOLDER / "keras2.json").write_text(
    json.dumps({"written_by": f"TensorFlow {tf.__version__}", "models": expected})
)
