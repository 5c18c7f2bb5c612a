"""Small `.net` files in lava-dl's layout, written with h5py."""

import h5py
import numpy as np


def write_net(path, layers):
    """Write layers, each a dictionary of fields: a list numbers them 0, 1, ..., a dictionary gives their names."""
    named = layers if isinstance(layers, dict) else {str(number): fields for number, fields in enumerate(layers)}
    with h5py.File(path, "w") as file:
        file.create_group("layer")
        for name, fields in named.items():
            _write(file, f"layer/{name}", fields)
    return path


def _write(file, name, value):
    if isinstance(value, dict):
        file.require_group(name)
        for key, child in value.items():
            _write(file, f"{name}/{key}", child)
    elif name.endswith("/type") and name.count("/") == 2 and isinstance(value, str):
        file[name] = np.array([value], "S10")  # lava-dl writes layer types so, neuron types as scalars
    else:
        file[name] = value


def sdnn(threshold=0, **more):
    return {"type": "SDNN", "vThMant": threshold} | more


def loihi(current_decay=4096, voltage_decay=128, threshold=10, **more):
    return {"type": "LOIHI", "iDecay": current_decay, "vDecay": voltage_decay, "vThMant": threshold} | more


def input_layer(*shape, neuron=None):
    return {"type": "input", "shape": np.array(shape), "neuron": neuron or sdnn()}


def dense(weight, neuron=None, **more):
    """A dense layer of as many neurons as the weights have rows."""
    weight = np.asarray(weight, np.float32)
    return {"type": "dense", "shape": np.array([len(weight)]), "weight": weight, "neuron": neuron or sdnn()} | more


def conv(kernel, shape, neuron=None, **more):
    weight = np.asarray(kernel, np.float32)
    geometry = {"stride": np.array([1, 1]), "padding": np.array([0, 0]), "dilation": np.array([1, 1]), "groups": 1}
    fields = {"type": "conv", "shape": np.array(shape), "weight": weight, "neuron": neuron or sdnn()}
    return fields | geometry | more
