"""Tables and summary of a run of timesteps."""

from nsim.result.columns.column import (
    ACCURACY,
    COMMON,
    CRITICAL_PATH,
    DYNAMIC,
    LINKS,
    PLACE,
    RANGES,
    REPRODUCIBILITY,
    Column,
    Columns,
    Declared,
    count,
    fj,
    mean_ps,
    ps,
    ratio,
    table,
    text,
)

STATES = ("memory", "compute", "traffic", "barrier", "management")
STAGES = {"neurons": "neuron updates", "send": "sending messages", "synapses": "synaptic operations"}


def _stage(name: str, work: str) -> Columns:
    return (
        ps(f"{name}_busy_ps", f"time of {work}"),
        ps(f"{name}_blocked_ps", f"time in which {work} waited for a slot behind"),
        count(f"{name}_longest_queue", f"messages waiting for {work} at most"),
    )


BOARD = (  # on a board only
    Column("chips_used", "", "int64", "on a board: chips with neurons, each of which draws static power", absent=True),
    Column("chips_available", "", "int64", "on a board: its chips", absent=True),
    Column("chip_crossings", "", "int64", "on a board: messages over links from chip to chip, at each", absent=True),
    Column("chip_crossing_bits", "bit", "int64", "bits of these", absent=True),
    Column(
        "busiest_chip_link", "", "string", "link between chips that is busy longest, if messages cross", absent=True
    ),
    Column("busiest_chip_link_utilisation", "", "float64", "its busy time over that of the run", absent=True),
    ps("critical_path_between_chips_ps", "part of the critical path on links from chip to chip", absent=True),
)
SUMMARY = (
    *COMMON,
    count("samples", "samples simulated"),
    *ACCURACY,
    count(
        "steady_timesteps", "timesteps in which inputs fill the pipeline of layers: means per timestep are over these"
    ),
    mean_ps("time_per_timestep_ps", "mean over the steady timesteps, barrier and management included"),
    mean_ps("time_per_sample_ps", "mean over the samples"),
    ps("longest_timestep_ps", "longest timestep"),
    ps("barrier_ps", "barrier that ends each timestep"),
    ps("local_time_ps", "the run without a barrier, cores waiting for neighbours alone (--sync local)", absent=True),
    Column(
        "barrier_cost", "1", "float64", "part of the run's time that this saves; below 0: it is slower", absent=True
    ),
    fj("known_local_energy_fj", "energy of the run in that time; handshakes between cores are free", absent=True),
    text("runtime", "runtime on the management processors; null if the chip file says nothing of them", null=True),
    mean_ps("management_per_timestep_ps", "what the management processors add, mean"),
    fj("known_energy_per_timestep_fj", "energy of the steady timesteps, mean"),
    fj("known_energy_per_sample_fj", "energy_fj over samples"),
    fj("known_dynamic_energy_per_timestep_fj", "dynamic energy of the steady timesteps, mean"),
    count("cores_used", "cores with neurons"),
    count("cores_available", "cores of the chip, or of all chips of the board"),
    *BOARD,
    ratio("mean_core_utilisation", "busy time of each used core's busiest stage over that of the run, mean"),
    ratio("mean_memory_utilisation", "weight memory in use, mean over used cores"),
    count("busiest_core", "core with the busiest stage"),
    text("busiest_core_layers", "its layers, joined by +"),
    text("busiest_core_stage", "that stage"),
    ratio("busiest_core_utilisation", "busy time of that stage over that of the run"),
    ratio("busiest_core_synops_over_mean", "its synops over those of the mean used core"),
    count("neuron_updates_per_timestep", "neurons swept in a timestep"),
    count("spikes", "neurons that sent, or fired without a destination"),
    count("messages", "messages that came in at cores"),
    count("synops", "weights fetched"),
    count("words_read", "words of weight memory read"),
    table("link_crossings", "", "messages over links of cores, and over mesh links by direction"),
    table("neurobench_per_timestep", "", "operations and sparsities as NeuroBench defines them"),
    REPRODUCIBILITY,
)
CORES = (
    *PLACE,
    Column("chip", "", "int64", "on a board: number of its chip", absent=True),
    text("layers", "its layers, joined by +"),
    count("neurons", "neurons on it"),
    count("allocated_neurons", "neurons that it sweeps"),
    count("synapse_words", "words of weight memory in use"),
    count("axons_in", "axons that come in"),
    ratio("memory_utilisation", "synapse_words over those of a core"),
    count("neuron_updates", "over the run"),
    count("spikes", "neurons that sent, or fired without a destination"),
    count("messages_out", "messages sent"),
    count("messages_in", "messages received"),
    count("synops", "weights fetched"),
    count("words", "words of weight memory read"),
    *(column for name, work in STAGES.items() for column in _stage(name, work)),
    text("busiest_stage", "stage that is busy longest"),
    ratio("utilisation", "its busy time over that of the run"),
    DYNAMIC,
)
LAYERS = (
    text("layer", "name"),
    text("shape", "channels x rows x columns"),
    count("neurons", "neurons"),
    count("cores", "cores that hold some of it"),
    count("neuron_updates", "over the run"),
    count("spikes", "neurons that sent, or fired without a destination"),
    ratio("message_density", "spikes over neurons and timesteps, of the steady ones"),
    count("messages", "messages that the layer sends"),
    count("synops", "weights fetched for messages that arrive at the layer"),
    fj(
        "known_dynamic_energy_fj",
        "of updates, firing, sending, synops; receiving and reading are the core's",
    ),
)
TIMESTEPS = (
    count("sample", "number of the sample, from 0"),
    count("timestep", "number in the sample, from 1"),
    ps("duration_ps", "barrier and management included"),
    ps("barrier_ps", "barrier at its end"),
    ps("management_ps", "what the management processors add"),
    count("spikes", "neurons that sent, or fired without a destination"),
    count("messages", "messages that came in at cores"),
    count("synops", "weights fetched"),
    count("words", "words of weight memory read"),
    count("link_crossings", "messages over links, summed"),
    count("max_core_synops", "synops of the core with most"),
    count("max_core_messages_in", "messages into the core with most"),
    count("max_link_messages", "messages over the link with most"),
    *(ps(f"critical_path_{state}_ps", f"critical path: {state}", absent=True) for state in STATES),
)
DECLARED = Declared(
    "timestep",
    SUMMARY,
    {
        "cores": CORES,
        "layers": LAYERS,
        "links": LINKS,
        "timesteps": TIMESTEPS,
        "critical_path": CRITICAL_PATH,
        "ranges": RANGES,
    },
)
