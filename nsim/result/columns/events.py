"""Tables and summary of a run on a stream of events."""

from nsim.result.columns.column import (
    COMMON,
    CRITICAL_PATH,
    DYNAMIC,
    RANGES,
    REPRODUCIBILITY,
    Column,
    Columns,
    Declared,
    count,
    listed,
    mean_ps,
    ps,
    ratio,
    real,
    table,
    text,
)

MEMORIES = {"kernel": "kernel weights", "neuron": "neuron states", "bias": "biases"}
STAGES = ("link", "synapses", "send")  # of a core, in the order in which an event passes them

ZEROS_SKIPPED = count("zeros_skipped", "weights that are zero, skipped at the read; sinabs counts them as synops, too")


def _stage(name: str) -> Columns:
    return (
        ratio(f"{name}_load", f"{name}: time needed for all that is sent there over the duration of the input"),
        ps(f"{name}_busy_ps", f"{name}: time of services"),
        ps(f"{name}_blocked_ps", f"{name}: time of waiting for a slot behind"),
        count(f"{name}_longest_queue", f"{name}: events waiting at most"),
    )


def _memory(name: str, holds: str) -> Columns:
    return (
        count(f"{name}_entries", f"entries in use for {holds}"),
        count(f"{name}_entries_available", f"entries of the core for {holds}"),
    )


SUMMARY = (
    *COMMON,
    count("input_events", "events of the stream"),
    ps("input_duration_ps", "time in which they come"),
    real("input_events_per_s", "1/s", "their rate; null without a duration", null=True),
    count("input_events_unused", "of these, beyond the last whole pooling window: they go nowhere"),
    count("output_events", "events that left the chip"),
    mean_ps("latency_min_ps", "output events, from the sensor event that caused them: shortest", null=True),
    mean_ps("latency_median_ps", "likewise: median", null=True),
    mean_ps("latency_p99_ps", "likewise: 99th percentile", null=True),
    mean_ps("latency_max_ps", "likewise: longest", null=True),
    ps("drain_ps", "from the last input event to the end of all that followed from it"),
    table(
        "bottleneck",
        "",
        "station with the highest load: station, core, layer, load, faster_core for the layer",
    ),
    listed("overloaded_cores", "cores with a station whose load is above 1"),
    real(
        "fitting_input_factor",
        "1",
        "so much faster could the same events come, or must below 1",
        null=True,
    ),
    real("fitting_input_events_per_s", "1/s", "that rate", null=True),
    count("late_events", "sensor events that entered later than they would have, had nothing pushed back"),
    count("first_late_event", "number in the stream of the first of them", null=True),
    ps("first_late_event_ps", "its time", null=True),
    ps("longest_delay_ps", "longest delay at the sensor"),
    ps("sensor_blocked_ps", "backpressure at the sensor"),
    ratio("sensor_blocked_share", "its share of the time until the last event has entered", null=True),
    count("lost_events", "events that balancers dropped"),
    count(
        "first_lost_event",
        "number in the stream of the event that caused the first; null: a tick",
        null=True,
    ),
    count("first_lost_event_core", "core before which it was dropped", null=True),
    count("lost_ticks", "ticks of the slow clock that found the sweep before still waiting, summed over cores"),
    count("events", "events that cores served"),
    count("synops", "weights added, those that are not zero"),
    ZEROS_SKIPPED,
    count("spikes", "spikes of all cores"),
    real("mean_power_mw", "mW", "energy_fj over time_ps", null=True),
    count("cores_used", "cores with a layer"),
    count("cores_available", "cores of the chip"),
    REPRODUCIBILITY,
)
CORES = (
    count("core", "number of the core"),
    text("layer", "its layer"),
    *(column for name, holds in MEMORIES.items() for column in _memory(name, holds)),
    count("events_sent_to_it", "events on their way to it, those that were lost among them"),
    count("events_served", "events that it took"),
    count("events_lost", "events that its balancer dropped"),
    count("synops", "weights added, those that are not zero"),
    ZEROS_SKIPPED,
    count("spikes", "spikes"),
    count("sweeps", "sweeps for the slow clock"),
    count("lost_ticks", "ticks that found the sweep before still waiting"),
    ratio("load", "highest load of its stations; above 1 it cannot keep up"),
    real("synops_per_s_asked_for", "1/s", "synops of all events sent to it over the duration of the input", null=True),
    real("synops_per_s_ceiling", "1/s", "synops over the time that its events take", null=True),
    real("fitting_input_factor", "1", "so much faster could the same events come for this core"),
    *(column for stage in STAGES for column in _stage(stage)),
)
LAYERS = (
    text("layer", "name"),
    count("core", "its core"),
    text("shape", "channels x rows x columns"),
    count("neurons", "neurons"),
    count("events_served", "events that its core took"),
    count("synops", "weights added, those that are not zero"),
    ZEROS_SKIPPED,
    real("synops_per_event", "1", "synops over events_served"),
    count("spikes", "spikes"),
    real("spikes_per_event", "1", "spikes over events_served"),
    count("messages", "events that its core sent"),
    DYNAMIC,
)
EVENTS = (
    text("what", "late or lost"),
    count("event", "number in the stream; -1: a tick of the slow clock"),
    Column("t_ps", "ps", "int64", "time of the event"),
    count("channel", "of the sensor"),
    count("row", "of the sensor"),
    count("column", "of the sensor"),
    ps("late_ps", "entered so much later"),
    ps("lost_ps", "time at which a balancer dropped it; -1: it was not"),
    count("lost_before_core", "core before which it was dropped; -1: it was not"),
)
DECLARED = Declared(
    "stream",
    SUMMARY,
    {"cores": CORES, "layers": LAYERS, "events": EVENTS, "critical_path": CRITICAL_PATH, "ranges": RANGES},
)
