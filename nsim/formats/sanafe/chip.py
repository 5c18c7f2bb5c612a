"""A chip file from a SANA-FE architecture: which number became which, and what nsim needs that SANA-FE has not.

    mesh                     width, height, the most cores of a tile; tile t is at column t // height, row t % height
    neuron_update            soma access + update, + dendrite update if the buffer is before the dendrite
    spike                    soma spike out
    message_out, message_in  axon out, axon in
    synop_dense, synop_sparse   synapse process spike, + dendrite update if the buffer is behind the dendrite
    links                    the latency of a hop is wire; no bandwidth is known, so a message holds a link for 1 ps
    barrier                  latency_sync; between two entries of a table that of the fewer tiles, as in sanafe 2.2.9
nsim has one cost of each kind where SANA-FE may have one per unit, core and tile: that of most neurons or edges is
taken.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from nsim.chip.file import printable
from nsim.formats.sanafe.architecture import COSTS, Architecture, CoreKind, TileKind, Unit
from nsim.formats.sanafe.graph import AllEdges, Matrix
from nsim.formats.sanafe.network import Spiking
from nsim.formats.sanafe.neurons import MODELS, WAITING, Neurons
from nsim.formats.sanafe.tree import Node

FORMATS = ("dense", "sparse", "conv")

ARCH, DOCS = "architecture", "sanafe_doc"
BITS = 32
LARGEST = 2**31 - 1
SCALES = {"latency": Decimal(10**12), "energy": Decimal(10**15)}  # to ps and fJ
LINKS = {"east_west": ("east", "west"), "north_south": ("north", "south")}


@dataclass(frozen=True)
class Value:
    """One number of a chip file with its origin."""

    number: object
    source: str
    basis: str
    note: str | None = None


@dataclass(eq=False)
class ChipText:
    """The tables of a chip file as they are written; `assumed` repeats the values that the file had to invent.

    targets   what became of every node that was used
    """

    lines: list[str] = field(default_factory=list)
    assumed: list[tuple[str, object, str]] = field(default_factory=list)
    targets: dict[Node, list[str]] = field(default_factory=dict)

    def table(self, name: str, values: dict[str, Value]) -> None:
        """A table whose first value gives the origin, with the others' beneath where they differ."""
        shared = _origin(next(iter(values.values())))
        self.lines += ["", f"[{name}]", *(f"{key} = {_toml(value.number)}" for key, value in values.items()), *shared]
        for key, value in values.items():
            if (own := _origin(value)) != shared:
                self.lines += ["", f"[{name}.origin.{key}]", *own]
            if value.basis == "assumed":
                self.assumed.append((f"{name}.{key}", value.number, value.note or ""))

    def action(self, name: str, *parts: tuple[Unit, str]) -> None:
        """The table of an action whose time and energy are those of these actions of units, added up."""
        values = {}
        for key, quantity in (("latency_ps", "latency"), ("energy_fj", "energy")):
            nodes = [unit.attributes[f"{quantity}_{action}"] for unit, action in parts]
            values[key] = self._amount(f"actions.{name}.{key}", quantity, nodes, Decimal(1), " + ")
        self.table(f"actions.{name}", values)
        for unit, action in parts:
            if action == "update_neuron":
                for quantity in SCALES:
                    node = unit.attributes[f"{quantity}_{action}"]
                    node.approximated(f"{', '.join(self.targets[node])}, in every timestep; see Costs and time")

    def mean(self, target: str, quantity: str, nodes: Sequence[Node]) -> Value:
        """Of two directions that share one number."""
        if len({node.decimal() for node in nodes}) == 1:
            value = self._amount(target, quantity, nodes[:1], Decimal(1), "")
            for node in nodes[1:]:
                node.fate = nodes[0].fate
            return Value(value.number, _source(*nodes), value.basis, value.note)
        value = self._amount(target, quantity, nodes, 1 / Decimal(len(nodes)), " and ")
        for node in nodes:
            node.approximated(f"{target}, one number for both directions: their mean")
        return Value(value.number, value.source, "derived", f"mean of {value.note}")

    def _amount(self, target: str, quantity: str, nodes: Sequence[Node], share: Decimal, joined: str) -> Value:
        """Seconds or joules, added up, times a share, in ps or fJ; marks the fate of the nodes."""
        exact = sum((node.decimal() for node in nodes), Decimal(0)) * share * SCALES[quantity]
        for node in nodes:
            self.targets.setdefault(node, []).append(target)
        number: int | float = int(exact) if exact == int(exact) else float(exact)
        if quantity == "latency":
            number = int(exact.to_integral_value())
        for node in nodes:
            words = ", ".join(dict.fromkeys(self.targets[node]))
            if number == exact or quantity == "energy":
                node.carried(words)
            else:
                node.approximated(f"{words}, rounded to picoseconds")
        plain = len(nodes) == 1 and (number == exact or quantity == "energy")
        parts = joined.join(f"{node.path.rpartition('.')[2]} {node.text}" for node in nodes)
        note = None if plain else f"{parts} {'s' if quantity == 'latency' else 'J'}"
        return Value(number, _source(*nodes), "published" if plain else "derived", note)

    def write(self, path: Path) -> None:
        path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def _origin(value: Value) -> list[str]:
    note = [f"note = {_toml(value.note)}"] if value.note else []
    return [f"source = {_toml(value.source)}", f'basis = "{value.basis}"', *note]


def _toml(value: object) -> str:
    """JSON's texts, numbers and lists are TOML's, if there are no control characters."""
    return json.dumps(printable(value) if isinstance(value, str) else value, ensure_ascii=False)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The parts of the architecture whose costs become the chip's.

    by_format   synapse and dendrite unit by storage format
    """

    tile: TileKind
    core: CoreKind
    soma: Unit
    dendrite: Unit
    by_format: dict[str, tuple[Unit, Unit]]


def choose(
    network: Spiking, architecture: Architecture, neurons: Neurons, found: list[Matrix], edges: AllEdges
) -> Chosen:
    """Take what most neurons, or most edges of a format, are mapped to."""
    tiles = [architecture.tiles[place.tile] for place in network.places]
    others = neurons.others.tolist()
    soma = _most(neurons.soma[n] for n in others)
    core = _most(neurons.kind[n] for n in others)
    by_format = {}
    for form in FORMATS:
        pairs = [
            (neurons.synapse[target], neurons.dendrite[target])
            for matrix in found
            if matrix.form == form
            for target in edges.target[matrix.edges].tolist()
        ]
        by_format[form] = _most(pairs) if pairs else (core.units["synapse"][0], core.units["dendrite"][0])
    return Chosen(_most(tiles), core, soma, _most(neurons.dendrite[n] for n in others), by_format)


def _most(things: Iterable):
    """The most frequent; of equal ones the first."""
    return Counter(things).most_common(1)[0][0]


def chip_text(architecture: Architecture, chosen: Chosen, arch_file: Path) -> ChipText:
    """The chip file. Marks the fate of every field of the architecture that it uses."""
    text = ChipText()
    text.lines += [
        f"# {printable(arch_file.name)} of SANA-FE, imported; carried.md says what became of every field of it.",
        "# Format: chips/README.md of nsim.",
        "",
        f"name = {_toml(architecture.name)}",
        f"title = {_toml(f'{architecture.name}, from {arch_file.name}')}",
        'discipline = "barrier"',
    ]
    _write_sizes(text, architecture, chosen)
    _write_actions(text, chosen)
    _write_links(text, chosen)
    _write_storage(text, chosen.core)
    text.table("barrier", _barrier(architecture))
    host = "the imported network has no input from outside the chip; a corner of the mesh, without delay"
    text.table(
        "host",
        {"router": Value([0, 0], DOCS, "assumed", host), "message_ps": Value(1, DOCS, "assumed", host)},
    )
    text.lines += [
        "",
        "[sources]",
        f"{ARCH} = {_toml(f'{arch_file.name}, a SANA-FE architecture file; the fields are named by their path in it')}",
        f"{DOCS} = {_toml('SANA-FE, github.com/SLAM-Lab/SANA-FE: documentation, and what sanafe 2.2.9 does with it')}",
    ]
    return text


def _source(*nodes: Node) -> str:
    return "; ".join(f"{ARCH}, {node.path.replace(';', ' ').replace(',', ' ')}" for node in nodes)


def _write_sizes(text: ChipText, architecture: Architecture, chosen: Chosen) -> None:
    attributes, most = architecture.attributes, architecture.cores_per_tile
    width, height, link = (attributes[key] for key in ("width", "height", "link_buffer_size"))
    width.carried("mesh.columns")
    height.carried("mesh.rows")
    uneven = len({len(tile.cores) for tile in architecture.tiles}) > 1
    note = "the most of any tile; those beyond a tile's own stay empty" if uneven else "cores of every tile"
    cores = [core.node for core in dict.fromkeys(chosen.tile.cores)]
    text.table(
        "mesh",
        {
            "columns": Value(architecture.width, _source(width), "published"),
            "rows": Value(architecture.height, _source(height), "published"),
            "cores_per_router": Value(most, _source(*cores), "derived", note),
        },
    )
    neurons = chosen.core.neurons
    neurons.carried("core.neurons")
    limit = "SANA-FE does not model synaptic memory: the largest number that the file takes"
    text.table(
        "core",
        {
            "neurons": Value(neurons.whole(1, LARGEST), _source(neurons), "published"),
            "synapse_words": Value(LARGEST, DOCS, "assumed", limit),
            "word_bits": Value(64, DOCS, "assumed", "of no effect: reading a word costs nothing, see word_read"),
        },
    )
    places = max(1, link.whole(0, LARGEST))
    (link.carried if link.text.strip() != "0" else link.approximated)("buffers.link, at least 1 place")
    assumed = "not in the file, where only links have a buffer: taken equal to it"
    text.table(
        "buffers",
        {
            "link": Value(places, _source(link), "published"),
            "message_in": Value(places, DOCS, "assumed", assumed),
            "message_out": Value(places, DOCS, "assumed", assumed),
        },
    )
    bits = "SANA-FE's messages have no size; of no effect, since bandwidths are chosen so that one takes 1 ps"
    text.table(
        "messages",
        {
            "bits": Value(BITS, DOCS, "assumed", bits),
            "graded": Value(False, DOCS, "derived", "spikes of the models that are carried over have no value"),
        },
    )


def _write_actions(text: ChipText, chosen: Chosen) -> None:
    core, soma, dendrite = chosen.core, chosen.soma, chosen.dendrite
    core.position.carried("whether the dendrite's cost is in neuron_update or in the synops")
    update = [(soma, "access_neuron"), (soma, "update_neuron")]
    text.action("neuron_update", *update, *([] if core.dendrite_per_spike else [(dendrite, "update")]))
    text.action("spike", (soma, "spike_out"))
    text.action("message_out", (core.units["axon_out"][0], "message_out"))
    text.action("message_in", (core.units["axon_in"][0], "message_in"))
    for form, (synapse, behind) in chosen.by_format.items():
        text.action(
            f"synop_{form}", (synapse, "process_spike"), *([(behind, "update")] if core.dendrite_per_spike else [])
        )
    free = "in SANA-FE a synapse's time and energy contain the reading of its weight"
    text.table(
        "actions.word_read",
        {"latency_ps": Value(0, DOCS, "derived", free), "energy_fj": Value(0, DOCS, "derived", free)},
    )


def _write_links(text: ChipText, chosen: Chosen) -> None:
    gigabits = BITS * 1000  # one message in a picosecond
    wide = (
        "SANA-FE gives a latency for each hop and no bandwidth: a message holds the link for 1 ps, the least there is"
    )
    local = "SANA-FE has no link between a core and its router: 1 ps, the least there is, and no energy"
    bandwidth = Value(gigabits, DOCS, "assumed", wide)
    for name in ("core_to_router", "router_to_core"):
        nothing = Value(0, DOCS, "assumed", local)
        own = Value(gigabits, DOCS, "assumed", local)
        text.table(f"links.{name}", {"bandwidth_gbps": own, "wire_ps": nothing, "energy_fj": nothing})
    for name, ways in LINKS.items():
        latency, energy = (
            text.mean(f"links.{name}", quantity, [chosen.tile.attributes[f"{quantity}_{way}_hop"] for way in ways])
            for quantity in ("latency", "energy")
        )
        assert isinstance(latency.number, int)  # picoseconds
        wire = max(0, latency.number - 1)
        note = f"{latency.note or 'latency of a hop'}, less the 1 ps on the link"
        text.table(
            f"links.{name}",
            {
                "bandwidth_gbps": bandwidth,
                "wire_ps": Value(wire, latency.source, "derived", note),
                "energy_fj": energy,
            },
        )


def _write_storage(text: ChipText, core: CoreKind) -> None:
    free = (
        "SANA-FE does not model how synapses are stored; of no effect, since memory is not limited and reading is free"
    )
    for form in FORMATS:
        values = {"header_bits": Value(0, DOCS, "assumed", free)}
        if form == "sparse":
            values["index_bits"] = Value([BITS], DOCS, "assumed", free)
        text.table(f"formats.{form}", values)
    choice = "connections in which every neuron meets every other are stored as a matrix"
    text.table("format_default", {"dense_layers": Value("dense", DOCS, "assumed", choice)})
    slices = "partition.toml says where every neuron is; for other partitions only a core's neurons count"
    text.table(
        "partition",
        {"conv_slice_neurons": Value(core.neurons.whole(1, LARGEST), _source(core.neurons), "assumed", slices)},
    )


def _barrier(architecture: Architecture) -> dict[str, Value]:
    """The time of latency_sync, as points of a line that is level up to the next entry of a table."""
    model, latency = (architecture.attributes.get(key) for key in ("sync_model", "latency_sync"))
    if model is None or latency is None:
        none = "the file gives no sync_model or no latency_sync; sanafe 2.2.9 then adds nothing"
        for node in (model, latency):
            if node is not None:
                node.left("sync_model and latency_sync count only together")
        points = {1: 0}
        return {key: Value(value, DOCS, "derived", none) for key, value in _points(points).items()}
    model.carried("barrier")
    if model.text == "fixed":
        points = {1: _sync_ps(latency)}
    elif model.text == "table":
        table = latency.table("tiles: seconds")
        if not table:
            latency.fail("is empty: give tiles: seconds")
        points = {}
        for key, value in table.items():
            if not (key.isdecimal() and 1 <= int(key) <= LARGEST):
                value.fail(f"{key!r} is no number of tiles: expected a whole number from 1 up")
            points[int(key)] = _sync_ps(value)
    else:
        model.fail(f"is {model.text!r}: expected fixed or table")
    if sorted(points.values()) != [points[key] for key in sorted(points)]:
        latency.fail("falls from fewer to more tiles, which a barrier of nsim cannot: correct it")
    rounded = "in ps; between two entries the time is that of the fewer tiles"
    return {key: Value(value, _source(latency), "derived", rounded) for key, value in _points(points).items()}


def _sync_ps(node: Node) -> int:
    if not 0 <= node.decimal() <= 1:
        node.fail(f"is {node.text!r} s: expected 0 to 1 s")
    exact = node.decimal() * SCALES["latency"]
    whole = int(exact.to_integral_value())
    if whole == exact:
        node.carried("barrier.latency_ps")
    else:
        node.approximated("barrier.latency_ps, rounded to picoseconds")
    return whole


def _points(points: dict[int, int]) -> dict[str, list[int]]:
    """Steps as points of a line: before every entry but the first stands one with the time so far."""
    line: dict[int, int] = {}
    so_far = None
    for tiles in sorted(points):
        if so_far is not None:
            line.setdefault(tiles - 1, so_far)
        line[tiles] = so_far = points[tiles]
    return {"routers": list(line), "latency_ps": list(line.values())}


def tell_rest(
    network: Spiking,
    architecture: Architecture,
    neurons: Neurons,
    edges: AllEdges,
    found: list[Matrix],
    chosen: Chosen,
) -> list[str]:
    """The fate of every field that the chip file did not take; returns which neurons and edges cost something else."""
    root = architecture.root
    for key, node in root.table("sections").items():
        if key != "architecture":
            node.left("a section that SANA-FE does not read")
    if (name := root.need("architecture", "").get("name")) is not None:
        name.carried("name")
    topology = architecture.attributes.get("topology")
    if topology is not None:
        (topology.carried if topology.text == "mesh" else topology.left)(
            "routers of nsim's chips with timesteps form a mesh"
        )
    used = (
        Counter(neurons.soma) + Counter(neurons.dendrite) + Counter(neurons.synapse[n] for n in edges.target.tolist())
    )
    used_cores, used_tiles = Counter(neurons.kind), Counter(architecture.tiles[place.tile] for place in network.places)
    for tile in dict.fromkeys(architecture.tiles):
        _tell_kind(tile.node, "tile", used_tiles[tile], network.neurons)
        _tell_costs(tile.attributes, _why_not(used_tiles[tile], "tiles", tile is chosen.tile))
        for core in dict.fromkeys(tile.cores):
            _tell_kind(core.node, "core", used_cores[core], network.neurons)
            _tell_core(core, used_cores[core], used, chosen)
    return _different_costs(neurons, edges, found, chosen)


def _tell_kind(node: Node, what: str, used: int, neurons: int) -> None:
    node.need("name", "").carried(f"number of {what}s; {used:,} of {neurons:,} neurons are on them")


def _tell_core(core: CoreKind, neurons: int, used: Counter[Unit], chosen: Chosen) -> None:
    attributes = dict(core.node.need("attributes", "").entries("attributes"))
    for key, node in attributes.items():
        if node.fate is None and key in ("buffer_position", "max_neurons_supported"):
            node.left(_why_not(neurons, "cores", core is chosen.core))
        elif node.fate is None and key == "buffer_inside_unit":
            node.left("queues of nsim stand before a stage of a core, never inside a unit")
    for section, units in core.units.items():
        for number, unit in enumerate(units):
            count = (neurons if number == 0 else 0) if section.startswith("axon") else used[unit]
            unit.node.need("name", "").carried("the name that mappings and attributes use")
            _tell_model(unit, section, count)
            _tell_costs(unit.attributes, _why_not(count, f"{section} units", False))


def _tell_model(unit: Unit, section: str, used: int) -> None:
    node = unit.attributes.get("model")
    if node is None:
        return
    if not used:
        node.left("nothing of the network uses it")
    elif unit.model == WAITING:
        node.approximated("sums after the delay of the edge, as documented; could not be compared")
    elif unit.model in MODELS[section]:
        node.carried("the equations of the neurons, or the sum of what arrives at them")
    else:
        node.left("nsim has not this model: what arrives at a neuron is added up")


def _tell_costs(attributes: dict[str, Node], why: str) -> None:
    for key, node in attributes.items():
        if node.fate is None and key.startswith(("energy_", "latency_")):
            node.left(why)
        elif node.fate is None and key in ("force_update", "update_every_timestep"):
            node.left("nsim updates every neuron in every timestep; a dendrite has no update of its own")
        elif node.fate is None and key == "plugin":
            node.left("hardware plugins of SANA-FE cannot be run")


def _why_not(used: int, what: str, chosen: bool) -> str:
    if not used:
        return "nothing of the network uses it"
    return "not needed" if chosen else f"a chip of nsim has one cost for all {what}, taken from those used most"


def _different_costs(neurons: Neurons, edges: AllEdges, found: list[Matrix], chosen: Chosen) -> list[str]:
    """Which neurons and edges pay the costs of another unit than theirs."""
    lines = []
    for who, mine in (("input neurons", neurons.inputs), ("neurons", neurons.others)):
        wrong = [n for n in mine.tolist() if not _same_costs(neurons.soma[n], chosen.soma, "soma")]
        if wrong:
            own = neurons.soma[wrong[0]]
            lines.append(
                f"{len(wrong):,} {who} cost {_soma_costs(chosen.soma)}, as soma unit {chosen.soma.names[0]} says, not "
                f"{_soma_costs(own)}, as their own unit {own.names[0]} says"
            )
    for position, section in enumerate(("synapse", "dendrite")):
        wrong_edges: Counter[tuple[Unit, Unit]] = Counter()
        for matrix in found:
            taken = chosen.by_format[matrix.form][position]
            units = Counter(getattr(neurons, section)[target] for target in edges.target[matrix.edges].tolist())
            wrong_edges.update({(u, taken): n for u, n in units.items() if not _same_costs(u, taken, section)})
        lines += [
            f"{number:,} edges of {section} unit {unit.names[0]} cost as much as those of {taken.names[0]}"
            for (unit, taken), number in wrong_edges.items()
        ]
    return lines


def _soma_costs(unit: Unit) -> str:
    costs = {key: f"{float(node.decimal()):g}" for key, node in unit.attributes.items() if key in COSTS["soma"]}
    update, spike = ("{energy_access_neuron} + {energy_update_neuron} J", "{energy_spike_out} J")
    time, spike_time = ("{latency_access_neuron} + {latency_update_neuron} s", "{latency_spike_out} s")
    return f"{update} and {time} a timestep, {spike} and {spike_time} a spike".format(**costs)


def _same_costs(first: Unit, second: Unit, section: str) -> bool:
    return all(first.attributes[key].decimal() == second.attributes[key].decimal() for key in COSTS[section])
