"""Rows of rectifiers: archives as torch.export writes them, and what they compute, layer by layer in NumPy."""

import json
import zipfile

import numpy as np


def outputs_of(network, image):
    """The outputs of one frame, in real numbers; synapses and pools themselves are tested elsewhere."""
    values = np.asarray(image, np.float64).ravel()
    for connection, layer in zip(network.connections, network.layers[1:], strict=True):
        sums = np.zeros(connection.synapses.targets)
        firing = np.flatnonzero(values)
        connection.synapses.add(firing, values[firing], sums)
        if layer.pool is not None:
            sums = layer.pool.reduced(sums)
        values = sums + layer.neuron.bias
        values = np.maximum(values, 0) if layer.neuron.rectify else values
    return values


def tensor(name):
    return {"as_tensor": {"name": name}}


def node(target, output, **arguments):
    inputs = [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments.items()]
    return {"target": f"torch.ops.aten.{target}", "inputs": inputs, "outputs": [tensor(output)], "name": output}


def archive(path, nodes, sizes, weights, returns=None, **changes):
    """An archive of one graph; sizes by tensor, the first of them the input; weights by parameter, "fc.weight"."""
    specs = [
        {"parameter": {"arg": {"name": f"p_{name.replace('.', '_')}"}, "parameter_name": name}} for name in weights
    ]
    specs.append({"user_input": {"arg": tensor(next(iter(sizes)))}})
    values = {name: {"dtype": 7, "sizes": [{"as_int": size} for size in shape]} for name, shape in sizes.items()}
    outputs = [tensor(name) for name in returns or [list(sizes)[-1]]]
    graph = {"inputs": [], "outputs": outputs, "nodes": nodes, "tensor_values": values}
    content = {"graph_module": {"graph": graph, "signature": {"input_specs": specs}}}
    config = {}
    with zipfile.ZipFile(path, "w") as file:
        for number, (name, weight) in enumerate(weights.items()):
            strides = [{"as_int": stride // weight.itemsize} for stride in weight.strides]
            meta = {
                "dtype": 7,
                "sizes": [{"as_int": size} for size in weight.shape],
                "strides": strides,
                "storage_offset": {"as_int": 0},
            }
            entry = {"path_name": f"weight_{number}", "use_pickle": False, "tensor_meta": meta}
            config[name] = entry | changes
            data = weight.base if weight.base is not None else weight
            file.writestr(f"net/data/weights/weight_{number}", data.tobytes())
        file.writestr("net/models/model.json", json.dumps(content))
        file.writestr("net/data/weights/model_weights_config.json", json.dumps({"config": config}))
        file.writestr("net/data/sample_inputs/model.pt", b"never opened")
    return path
