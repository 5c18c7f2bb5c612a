"""Modules of PyTorch as networks: plain ones by torch.export, spiking ones by the exporter of their framework.

Spiking modules become NIR graphs with the rules of the framework, see `nsim.formats.nir_rules`; what its exporter does
not write but its modules tell, such as the reset, goes with them as options. The module is copied, never changed.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

import numpy as np

from nsim.errors import NetworkError, require
from nsim.formats.coding import coded
from nsim.formats.pt2 import network_of_archive
from nsim.network.layers import Network

FRAMEWORKS = ("snntorch", "sinabs", "norse", "spikingjelly")
PLAIN = "torch"


def from_torch(
    module: Any,
    sample: Any,
    *,
    name: str | None = None,
    framework: str | None = None,
    dt_s: float | None = None,
    **options: object,
) -> Network:
    """The network of a PyTorch module.

    module     a torch.nn.Module: of snnTorch, sinabs, Norse or SpikingJelly; or plain, one row of Linear, Conv1d,
               Conv2d, BatchNorm, ReLU, MaxPool2d, AvgPool2d, Flatten and Dropout, which is read in evaluation mode
    sample     an input with its batch, [batch, ...]: an array or a tensor; of spiking modules that of one timestep.
               Its values matter for neurons="rate" only, where they are typical inputs
    name       of the network; default: the module's class
    framework  of spiking modules; default: that of the module's parts
    dt_s       seconds per timestep of spiking modules, as for `nsim.formats.nir_graph.read_nir`
    options    of spiking modules those of `nsim.formats.nir_rules`; of plain ones those of `nsim.formats.coding`:
               neurons="rectifier", "sigma-delta" (threshold=0.1) or "rate"
    raises     NetworkError, one line, for what is no module, cannot be exported or cannot run

    Plain networks run on chips with frames once quantised on samples (--calibrate, `nsim.quantize`), and on chips with
    timesteps as they are.
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise NetworkError(
            f"a {type(module).__name__} is no torch.nn.Module: build the module and load its weights into it first"
        )
    name = name or type(module).__name__
    given = _tensor(torch, sample)
    found = framework or _framework(module)
    if found not in (*FRAMEWORKS, PLAIN):
        raise NetworkError(f"framework is {found[:40]!r}: give one of {', '.join((*FRAMEWORKS, PLAIN))}")
    try:
        if found == PLAIN:
            return coded(_plain(torch, module, given, name), options, given.numpy())
        return _spiking(torch, module, given, name, found, dt_s, options)
    except NetworkError as error:
        raise NetworkError(f"PyTorch module {name!r}: {error}") from None


def _torch() -> Any:
    try:
        return import_module("torch")
    except ImportError:
        raise NetworkError("a PyTorch module needs PyTorch: pip install torch") from None


def _tensor(torch: Any, sample: Any) -> Any:
    try:
        given = torch.as_tensor(np.asarray(sample) if not isinstance(sample, torch.Tensor) else sample)
        given = given.detach().to("cpu", torch.float32)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise NetworkError(f"the sample is no array of numbers ({_line(problem)}): give one, (batch, ...)") from None
    if given.ndim < 2 or not given.numel():
        raise NetworkError(f"the sample has shape {tuple(given.shape)}: give one with its batch, (1, ...)")
    return given


def _framework(module: Any) -> str:
    homes = {type(part).__module__.partition(".")[0] for part in module.modules()}
    found = [each for each in (*FRAMEWORKS, "rockpool") if each in homes]
    if len(found) > 1 or "rockpool" in found:
        cure = "export Rockpool modules by to_nir" if "rockpool" in found else "give framework="
        raise NetworkError(f"the module has parts of {', '.join(found)}: {cure}, or a NIR graph")
    return found[0] if found else PLAIN


def _copied(torch: Any, module: Any) -> Any:
    """A copy in evaluation mode; states that a run left, which belong to its gradients, without these."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(module, memo).eval().to("cpu")
    except Exception as problem:  # of any part's own __deepcopy__
        raise NetworkError(f"cannot be copied ({_line(problem)}): give it before it has run") from None


def _plain(torch: Any, module: Any, sample: Any, name: str) -> Network:
    """By the archive that torch.export writes, in memory."""
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(_copied(torch, module), (sample,)), buffer)
    except NetworkError:
        raise
    except Exception as problem:  # whatever the module's own code raises
        raise NetworkError(f"torch.export cannot trace it ({_line(problem)}): check that it takes the sample") from None
    return network_of_archive(buffer, name)


def _line(problem: BaseException) -> str:
    return (" ".join(str(problem).split()) or type(problem).__name__)[:160]


# Spiking modules


def _spiking(
    torch: Any, module: Any, sample: Any, name: str, framework: str, dt_s: float | None, options: Mapping[str, object]
) -> Network:
    require("nir", "a spiking module", NetworkError)
    from nsim.formats.nir_graph import network_from_nir  # an extra

    whole = _folded(torch, _copied(torch, module))
    _check_pools(torch, whole)
    told = _TOLD.get(framework, lambda _: {})(whole)
    said = io.StringIO()
    try:
        with redirect_stdout(said), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            graph = _EXPORTERS[framework](torch, whole, sample)
    except ImportError as problem:
        raise NetworkError(f"its exporter is missing ({_line(problem)}): pip install {framework} nirtorch") from None
    except NetworkError:
        raise
    except Exception as problem:  # exporters check by assertion and attribute access
        _check_exported(framework, whole, {}, said.getvalue())
        raise NetworkError(
            f"{framework} cannot export it to NIR ({type(problem).__name__}: {_line(problem)}): use other layers"
        ) from None
    _check_exported(framework, whole, graph.nodes, said.getvalue())
    return network_from_nir(graph, name=name, dt_s=dt_s, options={"from": framework, **told, **options})


def _check_exported(framework: str, module: Any, nodes: Mapping[str, Any], said: str) -> None:
    """Refuse what an exporter left out: with a None in the graph, or with a word on the screen."""
    parts = dict(module.named_modules())
    lost = [type(parts.get(key)).__name__ for key, node in nodes.items() if node is None]
    lost += [line.rpartition(":")[2].strip() for line in said.splitlines() if "not implemented" in line]
    if lost:
        raise NetworkError(f"{framework} has no NIR for {lost[0]}: use another layer")


def _folded(torch: Any, module: Any) -> Any:
    """Normalisations folded into the weights before them and dropouts left out, in every Sequential."""
    nn = torch.nn
    for parent in [module, *module.modules()]:
        for key, child in list(parent.named_children()):
            if isinstance(child, nn.Sequential):
                setattr(parent, key, _folded_sequence(nn, torch, child))
    return _folded_sequence(nn, torch, module) if isinstance(module, nn.Sequential) else module


def _folded_sequence(nn: Any, torch: Any, sequence: Any) -> Any:
    if type(sequence) is not nn.Sequential:
        return sequence
    fuse = import_module("torch.nn.utils.fusion")
    kept: OrderedDict[str, Any] = OrderedDict()
    for key, part in sequence.named_children():
        before = next(reversed(kept.values()), None)
        if isinstance(part, nn.Dropout | nn.Dropout2d | nn.Identity):
            continue
        if isinstance(part, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            kept[next(reversed(kept))] = fuse.fuse_conv_bn_eval(before, part)
        elif isinstance(part, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            kept[next(reversed(kept))] = fuse.fuse_linear_bn_eval(before, part)
        else:
            kept[key] = part
    return nn.Sequential(kept)


def _with_biases(torch: Any, module: Any) -> None:
    """Zeros where a convolution has no bias, which some exporters do not expect."""
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d) and part.bias is None:
            part.bias = torch.nn.Parameter(torch.zeros(part.weight.shape[0]))


def _with_shapes(torch: Any, module: Any, sample: Any) -> None:
    """snnTorch's exporter takes one value for each neuron: spread single ones over those that the sample shows."""
    spread = [part for part in module.modules() if hasattr(part, "threshold") and hasattr(part, "beta")]
    shapes: dict[int, tuple[int, ...]] = {}

    def seen(part: Any, given: tuple[Any, ...], _: Any) -> None:
        shapes[id(part)] = given[0].shape[1:]

    hooks = [part.register_forward_hook(seen) for part in spread]
    module(sample)
    for hook in hooks:
        hook.remove()
    for part in spread:
        for field in ("alpha", "beta", "threshold"):
            value = getattr(part, field, None)
            if value is None or id(part) not in shapes or torch.as_tensor(value).numel() != 1:
                continue
            full = torch.full(shapes[id(part)], float(value))
            part._parameters.pop(field, None)
            part._buffers.pop(field, None)
            part.register_buffer(field, full)
        if hasattr(part, "reset_mem"):
            part.reset_mem()


def _export_snntorch(torch: Any, module: Any, sample: Any) -> Any:
    _with_shapes(torch, module, sample[:1])
    return import_module("snntorch.export_nir").export_to_nir(module, sample[:1], ignore_dims=[0])


def _export_sinabs(torch: Any, module: Any, sample: Any) -> Any:
    module(sample[:1])  # states take their shape from what they see
    return import_module("sinabs.nir").to_nir(module, sample[:1])


def _export_norse(torch: Any, module: Any, sample: Any) -> Any:
    _with_biases(torch, module)
    return import_module("norse.torch.utils.export_nir").to_nir(module, sample[:1])


def _export_spikingjelly(torch: Any, module: Any, sample: Any) -> Any:
    return import_module("spikingjelly.activation_based.nir_exchange").export_to_nir(module, sample[:1])


_EXPORTERS: Mapping[str, Callable[[Any, Any, Any], Any]] = {
    "snntorch": _export_snntorch,
    "sinabs": _export_sinabs,
    "norse": _export_norse,
    "spikingjelly": _export_spikingjelly,
}


# What modules tell beyond their exporters


def _check_pools(torch: Any, module: Any) -> None:
    """Exporters write a pool without its padding."""
    for key, part in module.named_modules():
        if isinstance(part, torch.nn.AvgPool2d) and (part.padding not in (0, (0, 0)) or part.ceil_mode):
            raise NetworkError(f"layer {key!r} is an average pool with padding or ceil_mode: leave them out")


def _told_by_snntorch(module: Any) -> dict[str, object]:
    def rule(part: Any) -> str:
        if part.inhibition or part.state_quant or float(part.graded_spikes_factor) != 1:
            raise NetworkError("inhibition, state_quant and graded_spikes_factor have no rule in NIR: use none of them")
        mechanism, later = part.reset_mechanism, getattr(part, "reset_delay", True)
        if mechanism not in ("subtract", "zero"):
            raise NetworkError(f"reset_mechanism {mechanism!r} has no rule in NIR: use subtract or zero")
        return "value" if mechanism == "zero" else "subtract-later" if later else "subtract-at-once"

    return _one("reset", (rule(part) for part in module.modules() if hasattr(part, "reset_mechanism")))


def _told_by_sinabs(module: Any) -> dict[str, object]:
    parts = [part for part in module.modules() if hasattr(part, "spike_fn") and hasattr(part, "reset_fn")]
    if any(getattr(part, "tau_syn", None) is not None for part in parts):
        raise NetworkError("its exporter leaves out tau_syn: use neurons without it, or write the NIR graph")
    resets = {"MembraneReset": "value", "MembraneSubtract": "subtract"}
    spikes = {"SingleSpike": "one", "MultiSpike": "many"}
    kinds = [(type(p.reset_fn).__name__, getattr(p.spike_fn, "__name__", type(p.spike_fn).__name__)) for p in parts]
    for kind in kinds:
        if kind[0] not in resets or kind[1] not in spikes:
            known = ", ".join((*resets, *spikes))
            raise NetworkError(f"neurons with {kind[0]} and {kind[1]} have no rule in NIR: use {known}")
    floors = [None if part.min_v_mem is None else float(part.min_v_mem) for part in parts]
    gains = ["leak" if part.norm_input else "whole" for part in parts if hasattr(part, "norm_input")]
    told = _one("reset", (resets[reset] for reset, _ in kinds)) | _one("spikes", (spikes[spike] for _, spike in kinds))
    told |= _one("gain", gains)
    return told | {key: value for key, value in _one("floor", floors).items() if value is not None}


def _told_by_norse(module: Any) -> dict[str, object]:
    from nsim.formats.nir_rules import PRESET_DT_S  # an extra

    for part in module.modules():
        reset, dt = getattr(getattr(part, "p", None), "v_reset", None), getattr(part, "dt", PRESET_DT_S["norse"])
        if (reset is not None and bool((reset != 0).any())) or dt != PRESET_DT_S["norse"]:
            raise NetworkError("its exporter leaves out v_reset and dt: use 0 and 1e-3, or write the NIR graph")
    return {}


def _one(key: str, values: Iterable[object]) -> dict[str, object]:
    found = list(dict.fromkeys(values))
    if len(found) > 1:
        raise NetworkError(f"its layers have different rules of {key}, {found}: give all of them one")
    return {key: found[0]} if found else {}


_TOLD: Mapping[str, Callable[[Any], dict[str, object]]] = {
    "snntorch": _told_by_snntorch,
    "sinabs": _told_by_sinabs,
    "norse": _told_by_norse,
}
