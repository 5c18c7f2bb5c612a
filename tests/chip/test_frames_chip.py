"""The AKD1000 chip file against its sources, and one line for what is wrong with a file of such a chip."""

from __future__ import annotations

from collections import Counter

import pytest

from nsim.chip.file import available_chips, load_chip
from nsim.errors import ChipError
from nsim.report.screen.chips import show_chip


@pytest.fixture(scope="module")
def akd1000():
    return load_chip("akd1000")


def test_processors_brainchip_virtual_device(akd1000):
    """78 processors: 54 CNP1+CNP2, 18 CNP1+FNP3, 4 CNP1+FNP2 (all in node (4, 1)), 2 CNP1 only (node (3, 1))."""
    kinds = Counter(processor.kinds for processor in akd1000.processors)
    assert kinds == {("cnp1", "cnp2"): 54, ("cnp1", "fnp3"): 18, ("cnp1", "fnp2"): 4, ("cnp1",): 2}
    assert {p[:2] for p in akd1000.processors if "fnp2" in p.kinds} == {(4, 1)}
    assert [p[:3] for p in akd1000.processors if p.kinds == ("cnp1",)] == [(3, 1, 2), (3, 1, 3)]
    assert {p.slot for p in akd1000.processors if "fnp3" in p.kinds} == {0}


def test_node_map_brainchip_virtual_device(akd1000):
    """Columns in each row: 3, 4 in row 1; 3, 4, 5 in row 2; all five in rows 3, 4 and 5."""
    columns = {row: sorted({p.column for p in akd1000.processors if p.row == row}) for row in range(1, 6)}
    assert columns == {1: [3, 4], 2: [3, 4, 5], 3: [1, 2, 3, 4, 5], 4: [1, 2, 3, 4, 5], 5: [1, 2, 3, 4, 5]}


def test_cores_are_the_processors_and_the_input_block(akd1000):
    assert akd1000.cores == 79
    assert akd1000.input_core == 78
    for core, processor in enumerate(akd1000.processors):
        assert akd1000.router_of(core) == (processor.row - 1) * 5 + processor.column - 1
    assert akd1000.router_of(akd1000.cores) == 2  # the host, at the event DMA's node (3, 1)


@pytest.mark.parametrize(("mode", "clock_ps"), [("performance", 3333), ("economy", 10_000), ("low-power", 200_000)])
def test_clock_modes_300_100_and_5_mhz(akd1000, mode, clock_ps):
    """Every time of the chip is a number of clocks."""
    chip = akd1000.with_clock_mode(mode)
    assert chip.ps(1) == clock_ps
    assert chip.ps(3_000_000) == pytest.approx(3_000_000 * 1e6 / chip.clock.mhz, abs=0.5)
    assert (
        chip.send_ps == chip.action_ps("message_out") == round(chip.actions.message_out.clocks * 1e6 / chip.clock.mhz)
    )
    assert chip.host_message_ps == chip.ps(0.25)
    assert chip.link_service_ps("east_west") == chip.ps(0.25)  # 64 bits at 256 bits in a clock
    assert chip.link_wire_ps("north_south") == chip.ps(1)
    assert chip.clocks(chip.ps(1000)) == pytest.approx(1000, rel=1e-4)
    assert chip.sha256 == akd1000.sha256
    assert chip.provenance() and akd1000.clock.mode == "performance"


def test_an_unknown_clock_mode_is_refused(akd1000):
    with pytest.raises(ChipError, match="no clock mode 'perfomance', did you mean"):
        akd1000.with_clock_mode("perfomance")


def test_energy_for_one_frame_is_between_the_two_measured_ones(akd1000):
    """Above the floor, a frame of AkidaNet-0.5-224: (981 - 905.2) / 51.28 and (1021 - 911.9) / 43.48 mJ.

    826 M steps (messages x 9 x filters, at the densities of PlantVillage), 200,704 outputs of the input block.
    """
    block_fj = 200_704 * akd1000.actions.output_input.energy_fj
    low, high = akd1000.actions.step.energy_fj_range
    assert low * 826e6 == pytest.approx((981 - 905.2) / 51.28 * 1e12, rel=0.02)
    assert high * 826e6 == pytest.approx((1021 - 911.9) / 43.48 * 1e12, rel=0.02)
    assert akd1000.actions.step.energy_fj * 826e6 + block_fj == pytest.approx((low + high) / 2 * 826e6, rel=0.02)


@pytest.mark.parametrize(
    ("steps", "outputs", "measured_mj"), [(825.2e6, 200_704, (3.887, 3.948)), (40.94e6, 36_864, (0.203, 0.204))]
)
def test_energy_of_two_networks_on_akd1500(steps, outputs, measured_mj):
    """PlantVillage and VWW, two mappings each. Source: BrainChip, developer hub, commit 541abd9."""
    actions = load_chip("akd1500").actions
    energy_mj = (steps * actions.step.energy_fj + outputs * actions.output_input.energy_fj) / 1e12
    assert energy_mj == pytest.approx(sum(measured_mj) / 2, rel=0.02)


def test_processors_of_akd1500_brainchip_virtual_device():
    """32 processors: 21 CNP1+CNP2, 7 CNP1+FNP3, 3 CNP1, 1 CNP1+FNP2; one clock mode; the floor of the core rail."""
    chip = load_chip("akd1500")
    kinds = Counter(processor.kinds for processor in chip.processors)
    assert kinds == {("cnp1", "cnp2"): 21, ("cnp1", "fnp3"): 7, ("cnp1",): 3, ("cnp1", "fnp2"): 1}
    assert chip.clock.modes == {"performance": 400}
    assert 112 <= chip.static_mw <= 118
    with pytest.raises(ChipError, match="'akd1500' has no clock mode 'economy': choose from performance"):
        chip.with_clock_mode("economy")


def test_every_value_has_a_source_and_a_basis(akd1000):
    rows = {row.key: row for row in akd1000.provenance()}
    assert len(rows) > 90
    assert {rows[f"links.{kind}.bits_per_clock"].basis for kind in ("east_west", "core_to_router")} == {"assumed"}
    assert rows["actions.step.clocks"].basis == "fitted"
    assert rows["processor.input_bytes"].basis == "published"
    assert all(row.note for row in rows.values() if row.basis in ("assumed", "fitted", "derived"))


def test_the_screen_lists_every_value(akd1000, capsys, monkeypatch):
    """`nsim chips akd1000`: names are whole even where the screen is narrow."""
    for width in (80, 400):
        monkeypatch.setenv("COLUMNS", str(width))
        show_chip(akd1000)
        shown = capsys.readouterr().out
        assert "…" not in shown
    assert all(row.key in shown for row in akd1000.provenance())
    assert "No energy is known for: neuron_update, spike, message_out, message_in, frame, filter, value" in shown


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[[4, 1]]", "[[4, 6]]", r"nodes.external.nodes = \[4, 6\]: must be on the mesh of 5 x 5 routers"),
        ("[[4, 1]]", "[[3, 1]]", r"nodes.entry.nodes = \[3, 1\]: is listed twice"),
        ('"cnp1", "cnp1"]', '"cnp1", "cnp9"]', "nodes.entry.slots = 'cnp9': 'cnp9' is no kind: choose from cnp1"),
        ("economy_mhz = 100", "economy_mhz = 0", "clock.economy_mhz = 0: must be >= 0.001"),
        ('mode = "performance"', 'mode = "turbo"', "clock.mode = 'turbo': must be 'performance', 'economy' or"),
        ("kernels = [1, 3, 5, 7]", "kernels = [1, 5, 3, 7]", "convolution.kernels .*: must increase"),
        ("filters_one_channel = [512, 192, 96]", "filters_one_channel = [512]", "has 1 entries for 3 kernels"),
        (
            "block_bytes = [4, 8, 24]",
            "block_bytes = [4, 8]",
            "fully_connected.block_bytes .* 2 entries, but weight_bits",
        ),
        (
            "depthwise_words_2bit = [0.5, 1, 3]",
            "depthwise_words_2bit = [8]",
            "1 entries, but kernels has 3",
        ),
        ("weight_bits = [2, 4]", "weight_bits = [2, 8]", r"separable.weight_bits = \[2, 8\]: must be \[2, 4\]"),
        ("filters = [192, 384, 504]", "filters = [384, 192, 504]".replace("[", "[ "), "must not decrease"),
        ("clocks = 0.0775", "clocks = -1", "actions.step.clocks = -1: must be >= 0"),
        (
            "clocks = 0.0775",
            "clocks = 1",
            r"actions.step.clocks_range .*: must be \[lowest, highest\] around clocks = 1",
        ),
        ("clocks = 37\n", "clocks = '37'\n", "actions.filter.clocks = '37': must be a number"),
        ("clocks = 0.342\n", "clocks = inf\n", "actions.value.clocks = inf: must be"),
        ("clocks = 0.0131\n", "", "actions.value_filter.clocks: missing"),
        (
            "clocks = 30.7",
            "clock = 30.7",
            'actions.fully_connected_value.clock = 30.7: unknown key, did you mean "clocks"',
        ),
        ("clocks = 2.05", "clocks = -2", "actions.external_byte.clocks = -2: must be >= 0"),
        ("clocks = 2.0\n", "clocks = -2\n", "actions.output_input.clocks = -2: must be >= 0"),
        ("filter_block = 16", "filter_block = 0", "input_block.filter_block = 0: must be >= 1"),
        (
            "performance_mhz = 300\n",
            "",
            "clock.mode = 'performance': the chip has no performance_mhz: add it, or choose",
        ),
        ("static_mw_per_mhz = 0.834", "static_mw_per_mhz = -1", "power.static_mw_per_mhz = -1: must be >= 0"),
        ("partial = false", "partial = 0", "program.partial = 0: must be true or false"),
        ("bytes = 430", "bytes = -430", "program.bytes = -430: must be >= 0"),
        ("separable_weight_factor = 1.3\n", "", "program.separable_weight_factor: missing"),
        ("clocks_per_processor = 1_464", "clocks_per_processor = 5", "program.clocks_per_processor_range .*: must be"),
        (
            "router = [2, 0]\ncolumns",
            "router = [5, 0]\ncolumns",
            r"input_block.router = \[5, 0\]: must be at most \[4, 4\]",
        ),
        ("in_flight = 16", "in_fligt = 16", 'frames.in_fligt = 16: unknown key, did you mean "in_flight"'),
    ],
)
def test_wrong_values_are_refused_in_one_line(tmp_path, old, new, words):
    text = available_chips()["akd1000"].read_text(encoding="utf-8")
    if old.startswith("filters = "):
        old, new = old.replace("[", "[\n    ").replace("]", ",\n]"), new.replace("[", "[\n    ").replace("]", ",\n]")
    assert old in text
    file = tmp_path / "mine.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ChipError, match=words) as refusal:
        load_chip(file)
    assert len(str(refusal.value).splitlines()) == 1
