"""Files that are known and not read: why, and what to bring in their place."""

_BY_BEGINNING = (
    (0, b"\x93NUMPY", "is one array of NumPy: see model_from_arrays in docs/python.md"),
    (4, b"TFL3", "is of TensorFlow Lite, whose weights are packed for telephones: bring the Keras "
     "model it was made of, as .keras or .h5"),
    (257, b"ustar", "is a tar archive, as torch wrote before 0.1.9: save the model with a newer "
     "torch, or unpack it"),
    (0, b"GGUF", "is of llama.cpp, which holds no recurrent models over characters"),
    (0, b"\x1f\x8b", "is packed with gzip: unpack it first"),
    (0, b"7z\xbc\xaf", "is packed with 7-Zip: unpack it first"),
    (0, b"Rar!", "is packed with RAR: unpack it first"),
)  # fmt: skip
_BY_NAME = (
    (".onnx", "is ONNX, which names neither layers nor gates and may hold a part of the model "
     "alone: export the weights from the program that trained it, such as with "
     "torch.save(model.state_dict(), …), model.save('….keras') or safetensors"),
    (".pb", "is a graph of TensorFlow, which holds operations and not layers: bring the checkpoint "
     "(.index and .data) or the Keras model"),
    (".meta", "holds the graph of a TensorFlow checkpoint: bring its .index and .data files"),
    (".npz", "holds arrays without saying what they are: see model_from_arrays in docs/python.md"),
    (".mlmodel", "is of Core ML: bring the model it was made of"),
)  # fmt: skip
_ONNX = (b"\x08\x03", b"\x08\x04", b"\x08\x05", b"\x08\x06", b"\x08\x07", b"\x08\x08", b"\x08\x09",
         b"\x08\x0a", b"\x08\x0b", b"\x08\x0c", b"\x08\x0d", b"\x08\x0e")  # fmt: skip


def explain_refusal(name: str, data: memoryview) -> str | None:
    """Why a file is not read, as the rest of a sentence that begins with its name; None if it is
    not known."""
    for place, beginning, why in _BY_BEGINNING:
        if bytes(data[place : place + len(beginning)]) == beginning:
            return why
    # The version of ONNX' format, then, by its tag, the name of the program that exported it.
    if bytes(data[:2]) in _ONNX and bytes(data[2:3]) == b"\x12":
        return dict(_BY_NAME)[".onnx"]
    begin = bytes(data[:64])
    if begin[:2] in (b"4\n", b"3\n") and begin[2:4] == b"1\n":
        return (
            "is a file of Torch 7 in ASCII, which loses digits: save it in binary, the default of "
            "torch.save"
        )
    return next((why for ending, why in _BY_NAME if name.lower().endswith(ending)), None)
