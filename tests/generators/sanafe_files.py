"""SANA-FE's files for tests, written in its documented fields, and a naive simulation of what they say."""

import numpy as np

HOP_LATENCY = {"north": "6.5e-9", "east": "4.0e-9", "south": "6.5e-9", "west": "4.0e-9"}
HOP_ENERGY = {"north": "4.0e-12", "east": "3.0e-12", "south": "4.0e-12", "west": "3.0e-12"}


def architecture(
    width=3,
    height=2,
    cores=2,
    position="soma",
    sync="sync_model: table\n    latency_sync: {1: 0.5e-6, 2: 1.0e-6, 5: 2.0e-6}",
    dendrite="0.0",
):
    """A mesh of equal tiles with two units of each kind; the costs are made up."""
    costs = {"access_neuron": ("50.0e-12", "6.0e-9"), "update_neuron": ("20.0e-12", "3.5e-9")}
    costs["spike_out"] = ("70.0e-12", "30.0e-9")
    soma = "\n".join(
        f"                energy_{action}: {energy}\n                latency_{action}: {latency}"
        for action, (energy, latency) in costs.items()
    )
    hops = "\n".join(
        f"        energy_{way}_hop: {HOP_ENERGY[way]}\n        latency_{way}_hop: {HOP_LATENCY[way]}"
        for way in HOP_ENERGY
    )
    return f"""\
# made up for tests
architecture:
  name: made_up
  attributes:
    topology: mesh
    width: {width}
    height: {height}
    link_buffer_size: 4
    {sync}
  tile:
    - name: tile[0..{width * height - 1}]
      attributes:
{hops}
      core:
        - name: core[0..{cores - 1}]
          attributes:
            buffer_position: {position}
            max_neurons_supported: 64
          axon_in:
            - name: in
              attributes: {{energy_message_in: 2.0e-12, latency_message_in: 16.0e-9}}
          synapse:
            - name: plain
              attributes: {{model: current_based, energy_process_spike: 35.5e-12, latency_process_spike: 3.75e-9}}
            - name: packed
              attributes: {{model: current_based, energy_process_spike: 30.0e-12, latency_process_spike: 5.0e-9}}
          dendrite:
            - name: sums
              attributes: {{model: accumulator, energy_update: {dendrite}, latency_update: {dendrite}}}
            - name: waits
              attributes: {{model: accumulator_with_delay, energy_update: {dendrite}, latency_update: {dendrite}}}
          soma:
            - name: lif
              attributes:
                model: leaky_integrate_fire
{soma}
            - name: north
              attributes:
                model: truenorth
{soma}
            - name: train[0..63]
              attributes:
                model: input
                energy_access_neuron: 0.0
                latency_access_neuron: 0.0
                energy_update_neuron: 0.0
                latency_update_neuron: 0.0
                energy_spike_out: 0.0
                latency_spike_out: 0.0
          axon_out:
            - name: out
              attributes: {{energy_message_out: 110.0e-12, latency_message_out: 5.0e-9}}
"""


SMALL = """\
network:
  name: small
  groups:
    - name: drive
      attributes: [log_spikes: true]
      neurons:
        - 0: [spikes: [1, 0, 1, 1]]
        - 1: [rate: 0.5]
    - name: hidden
      attributes: [threshold: 1.5, reset: 0.25, log_spikes: true]
      neurons:
        - 0..1: []
        - 2: {bias: 0.5, soma: {threshold: 2}}
    - name: answer
      attributes: {threshold: 1, soma_hw_name: north}
      neurons:
        - 0
  edges:
    - drive -> hidden: {type: dense, weight: [1, 0, 2, 0.5, 1, -1]}
    - hidden.0 -> hidden.2: [weight: -0.75]
    - hidden.1 -> answer.0: [synapse: {weight: 1}]
    - hidden.2 -> answer.0: [w: 0.5]
    - hidden.2 -> answer.0: [weight: 0.5]
mappings:
  - drive.0: [core: 0.0, soma: "train[0]"]
  - drive.1: [core: 0.1, soma: "train[1]"]
  - hidden.0..1: [core: 3.1]
  - hidden.2: {core: 0.0}
  - answer: [core: 5.0]
"""


def network(groups, edges, mappings):
    """A network file from lines of its three lists."""
    lists = ("  groups:", groups, "    "), ("  edges:", edges, "    "), ("mappings:", mappings, "  ")
    lines = ["network:", "  name: drawn"]
    for heading, entries, indent in lists:
        lines += [heading if entries else f"{heading} []", *(f"{indent}{line}" for line in entries)]
    return "\n".join(lines) + "\n"


def drawn(rng, cores, timesteps=12, delays=False, cut=True, units=("lif", "north")):
    """A random network: its file, and what the naive simulation needs.

    cores   addresses, such as "0.1"
    cut     weights and biases are multiples of 1/64, as SANA-FE's potentials are
    """
    inputs, sizes = int(rng.integers(1, 6)), [int(rng.integers(1, 7)) for _ in range(int(rng.integers(1, 4)))]
    total = inputs + sum(sizes)
    trains = rng.random((timesteps, inputs)) < 0.4
    groups = ["- name: in", "  neurons:"]
    groups += [f"  - {k}: [spikes: [{', '.join(map(str, trains[:, k].astype(int)))}]]" for k in range(inputs)]
    names, at_once, strict = [f"in.{k}" for k in range(inputs)], [], np.ones(total, bool)
    threshold, reset, bias = (np.zeros(total) for _ in range(3))
    mappings = [f'- in.{k}: [core: {rng.choice(cores)}, soma: "train[{k}]"]' for k in range(inputs)]
    waits = "waits" if delays else "sums"
    for number, size in enumerate(sizes):
        unit = str(rng.choice(units))
        groups += [f"- name: g{number}", f"  attributes: {{soma_hw_name: {unit}, dendrite_hw_name: {waits}}}"]
        groups += ["  neurons:"]
        for k in range(size):
            neuron = len(names)
            strict[neuron] = unit == "lif"
            threshold[neuron], reset[neuron], bias[neuron] = (
                rng.integers(16, 96),
                rng.integers(0, 8),
                rng.integers(0, 24),
            )
            names.append(f"g{number}.{k}")
            values = (
                f"{name}: {v[neuron] / 64}" for name, v in (("threshold", threshold), ("reset", reset), ("bias", bias))
            )
            groups.append(f"  - {k}: [{', '.join(values)}]")
            mappings.append(f"- g{number}.{k}: [core: {rng.choice(cores)}]")
    edges = []
    for _ in range(int(rng.integers(1, 4 * total))):
        source, target = int(rng.integers(total)), int(rng.integers(inputs, total))
        weight, delay = int(rng.choice([-40, -9, 0, 5, 17, 33, 70])), int(rng.integers(4)) if delays else 0
        at_once.append((source, target, weight, delay))
        edges.append(f"- {names[source]} -> {names[target]}: [weight: {weight / 64}, delay: {delay}]")
    text = network(groups, edges, mappings)
    facts = {"trains": trains, "threshold": threshold, "reset": reset, "bias": bias, "strict": strict, "edges": at_once}
    return text, facts


def naive_spikes(facts, timesteps):
    """bool[timesteps, neurons]: the documented equations, neuron by neuron, in 64ths."""
    inputs, total = facts["trains"].shape[1], facts["threshold"].size
    v, spikes = np.zeros(total), np.zeros((timesteps, total), bool)
    arriving = np.zeros((timesteps + 64, total))
    for t in range(timesteps):
        if t < len(facts["trains"]):
            spikes[t, :inputs] = facts["trains"][t]
        for n in range(inputs, total):
            v[n] += facts["bias"][n] + arriving[t, n]
            if v[n] > facts["threshold"][n] or (v[n] == facts["threshold"][n] and not facts["strict"][n]):
                spikes[t, n], v[n] = True, facts["reset"][n]
        for source, target, weight, delay in facts["edges"]:
            arriving[t + 1 + delay, target] += weight * spikes[t, source]
    return spikes
