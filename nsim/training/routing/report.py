"""The files of a finished run.

weights.npz      weights float32[source, target] and mask, of the chosen epoch
network.nir      for nsim run, with test_inputs.npy; the last neurons are the outputs, one per word
routing/         what nsim map writes: summary.json, ports.csv, deciders.csv, placement.csv
curves.csv, .png one row per epoch
summary.json     written last, keys:
  method, data, words, seed, epochs, epoch          epoch: the one chosen on validation samples, from 1
  validation_accuracy, test_accuracy                test_set: what the latter is of; test_clips, test_samples: a clip
                                                    is several samples if channels are sub-sampled in all phases
  test_spikes_per_neuron_and_step
  connections, links, mappable, violated_ports, excess_lines, violations
  provisioned_elements, programmed_elements, link_profile
  constraint                                        null if the method's constraint holds on the chosen epoch
  simulator                                         spikes of the simulator's kernels against training's, see export.py
  settings, versions
Connections and elements count input weights, which sit in the crossbars of the input tiles, but not the soft reset,
which belongs to the neuron; nsim run on network.nir counts the recurrent layer of the graph, the reset included.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nsim.chip.file import load_chip
from nsim.errors import OutputError, version_of
from nsim.formats.nir_graph import read_nir
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.mapping import MosaicMapping, map_on_tiles, mosaic
from nsim.mapping.tiles.routing import PORTS
from nsim.report.plots import new_figure, save_figure
from nsim.report.screen.tile_map import MapFiles
from nsim.result.files import write_files
from nsim.training.checkpoint import write_json
from nsim.training.routing.export import compare_spikes, input_frames, write_nir
from nsim.training.routing.loop import Epoch, Evaluator, Trained
from nsim.training.routing.samples import Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COMPARED = 16  # test samples that the simulator evaluates, too; they are written as test_inputs.npy


def mapped(trained: Trained, chip: str = "mosaic") -> MosaicMapping:
    """The trained network on a fabric of its own size with the ports of this chip, neuron q in tile q // n."""
    connectivity = Connectivity.from_matrix(trained.weights, f"{trained.settings.choice.name} network")
    return map_on_tiles(connectivity, mosaic(load_chip(chip)), trained.layout.fabric)


def write_report(trained: Trained, samples: Samples, out: Path, chip: str = "mosaic") -> dict[str, Any]:
    """Write all files of a run; returns the content of summary.json.

    raises   OutputError; ChipError or MappingError for a chip without tiles
    """
    mapping = mapped(trained, chip)
    compared = samples.test.x[:: max(1, len(samples.test) // COMPARED)][:COMPARED]
    try:
        np.savez(out / "weights.npz", weights=trained.weights, mask=trained.mask)
        np.save(out / "test_inputs.npy", input_frames(compared))
        write_nir(out / "network.nir", trained)
        (out / "routing").mkdir(exist_ok=True)
        write_files(MapFiles(mapping), out / "routing")
        _write_curves(trained.history, out / "curves.csv")
        draw_curves(trained, out / "curves.png")
        simulator = asdict(compare_spikes(trained, read_nir(out / "network.nir"), compared))
        summary = {**_summary(trained, samples, mapping), "simulator": simulator, **_provenance(trained)}
        write_json(out / "summary.json", summary)
    except OSError as error:
        raise OutputError(
            f"cannot write results to {out} ({error.strerror}): free space, or give another --out"
        ) from None
    return summary


def _summary(trained: Trained, samples: Samples, mapping: MosaicMapping) -> dict[str, Any]:
    settings = trained.settings
    test = Evaluator(settings, trained.layout)(trained.weights, samples.test)
    method = settings.method(trained.layout)
    narrowest = sorted(mapping.violations, key=lambda each: each.capacity - each.used)
    cell_name = mapping.fabric.cell_name
    return {
        "method": settings.choice.name,
        "data": samples.name,
        "words": len(samples.words),
        "seed": settings.seed,
        "epochs": settings.epochs,
        "epoch": trained.epoch,
        "validation_accuracy": trained.history[trained.epoch - 1]["validation_accuracy"],
        "test_accuracy": test.accuracy,
        "test_set": f"{samples.name}, test split",
        "test_clips": samples.clips,
        "test_samples": len(samples.test),
        "test_spikes_per_neuron_and_step": test.rate,
        "connections": mapping.connectivity.connections,
        "links": int(mapping.routing.links.tile.size),
        "mappable": mapping.mappable,
        "violated_ports": len(mapping.violations),
        "excess_lines": mapping.excess_lines,
        "violations": [
            {"port": f"{cell_name(each.cell)} {PORTS[each.port]}", "used": each.used, "lines": each.capacity}
            for each in narrowest
        ],
        "provisioned_elements": mapping.provisioned.total,
        "programmed_elements": mapping.programmed.total,
        "link_profile": {f"p{distance}": share for distance, share in mapping.link_profile.items()},
        "constraint": method.violated(trained.mask, 1.0),
    }


def _provenance(trained: Trained) -> dict[str, Any]:
    names = ("jax", "jaxlib", "optax", "numpy", "nsim")
    return {"settings": trained.settings.as_json(), "versions": {name: version_of(name) for name in names}}


def _write_curves(history: list[Epoch], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def draw_curves(trained: Trained, path: Path) -> None:
    """Loss, accuracy, rate and profile by epoch; the chosen epoch is marked."""
    figure = new_figure(10, 6.4, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    history = trained.history
    _draw(axes[0, 0], history, {"loss": "training, with regulariser", "validation_entropy": "validation"}, "loss")
    _draw(axes[0, 1], history, {"accuracy": "training", "validation_accuracy": "validation"}, "accuracy (%)", 100)
    axes[0, 1].axhline(100 / trained.layout.outputs, color="black", ls=":", lw=1, label="by chance")
    _draw(axes[1, 0], history, {"spikes_per_neuron_and_step": "training"}, "spikes per neuron and step")
    distances = {f"p{d}": f"{d} hop{'s' * (d > 1)}" for d in trained.layout.fabric.distances}
    present = {key: name for key, name in distances.items() if any(row[key] for row in history)}
    _draw(axes[1, 1], history, present, "links present (%)", 100)
    for axis in axes.ravel():
        axis.axvline(trained.epoch, color="gray", ls="--", lw=1, label="chosen")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("epoch")
    save_figure(figure, path)


def _draw(axis: Axes, history: list[Epoch], keys: dict[str, str], label: str, factor: float = 1.0) -> None:
    epochs = [row["epoch"] for row in history]
    for key, name in keys.items():
        axis.plot(epochs, [factor * row[key] for row in history], "o-", ms=3, label=name)
    axis.set_ylabel(label)
