"""The shipped chips say what their sources say, and a wrong chip file gets one line that names what is wrong."""

from __future__ import annotations

import hashlib
import pickle
import tomllib
from math import ceil
from pathlib import Path

import pytest

from nsim.chip.chip import changed
from nsim.chip.file import available_chips, load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.errors import ChipError

CHIPS = ["loihi", "loihi2"]


def read(name: str) -> str:
    return available_chips()[name].read_text(encoding="utf-8")


@pytest.fixture
def error_of(tmp_path):
    """The error of loading shipped Loihi 2 with one place changed, checked to be one line that names the file."""

    def load_changed(old: str, new: str) -> str:
        text = read("loihi2")
        assert old in text
        file = tmp_path / "mine.toml"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        return error_of_file(file)

    return load_changed


def error_of_file(file: Path | str) -> str:
    with pytest.raises(ChipError) as caught:
        load_chip(file)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{file}: ")
    return message.removeprefix(f"{file}: ")


def test_loihi_costs_sanafe_yaml():
    """Boyle et al., SANA-FE, arch/loihi.yaml: picoseconds and femtojoules of each action and hop."""
    table = {
        "message_in": (16_000, 0),
        "synop_dense": (3_800, 35_500),
        "synop_sparse": (4_700, 33_600),
        "synop_conv": (3_100, 24_000),
        "neuron_update": (6_000 + 3_700, 51_200 + 21_600),  # soma access + soma update
        "spike": (30_000, 69_300),
        "message_out": (5_100, 111_000),
    }
    actions = load_chip("loihi").actions
    assert {name: (getattr(actions, name).latency_ps, getattr(actions, name).energy_fj) for name in table} == table


@pytest.mark.parametrize("name", CHIPS)
def test_a_hop_without_traffic_takes_the_published_time(name):
    """Davies et al. 2018, table 2: 4.1 ns east-west, 6.5 ns north-south, 2.1 ns within a tile; Loihi 2 alike."""
    chip = load_chip(name)

    def hop_ps(kind):
        return chip.link_service_ps(kind) + getattr(chip.links, kind).wire_ps

    assert hop_ps("east_west") == 4_100
    assert hop_ps("north_south") == 6_500
    assert hop_ps("core_to_router") + hop_ps("router_to_core") == 2_100


def test_loihi_energy_of_hops():
    links = load_chip("loihi").links
    assert (links.east_west.energy_fj, links.north_south.energy_fj) == (3_000, 4_200)
    assert links.core_to_router.energy_fj + links.router_to_core.energy_fj == 1_700


def test_loihi_2_is_faster_by_the_ratios_of_the_brief():
    """Intel 2021: neuron updates 2x, synops 5x, spikes 10x; over 8.4 and 3.5 ns (Davies 2018) and 30 ns (SANA-FE)."""
    first, second = load_chip("loihi").actions, load_chip("loihi2").actions
    assert second.neuron_update.latency_ps * 2 == 8_400
    assert second.synop_dense.latency_ps * 5 == second.synop_conv.latency_ps * 5 == 3_500
    assert second.spike.latency_ps * 10 == first.spike.latency_ps
    overhead = first.synop_sparse.latency_ps / first.synop_dense.latency_ps
    assert second.synop_sparse.latency_ps == round(second.synop_dense.latency_ps * overhead)


def test_loihi_2_smallest_chip_wide_timestep():
    """Intel 2021: below 200 ns; the barrier over all routers is at that limit and less over fewer."""
    chip = load_chip("loihi2")
    assert all(chip.barrier_ps(routers) <= 200_000 for routers in range(chip.routers + 1))


def test_loihi_2_energy_of_a_pilotnet_timestep():
    """0.447 W x 152.8 us: cores, management, messages at Loihi 1's energies, synops by Hala Point; updates the rest."""
    chip = load_chip("loihi2")
    actions, links = chip.actions, chip.links
    cores_fj = 74 * chip.power.core_mw * 152.8e6
    messages_fj = 34_372 * actions.spike.energy_fj + 39_088 * actions.message_out.energy_fj
    messages_fj += 39_088 * (links.core_to_router.energy_fj + links.router_to_core.energy_fj)
    messages_fj += 112_287 * links.east_west.energy_fj + 23_657 * links.north_south.energy_fj
    step_fj = 2_252_376 * actions.synop_conv.energy_fj + 164_529 * actions.neuron_update.energy_fj
    step_fj += cores_fj + chip.management.lava.energy_fj + messages_fj
    assert step_fj == pytest.approx(0.447 * 152.8e-6 * 1e15, rel=1e-3)
    assert actions.synop_conv.energy_fj == round((2600 - 1152 * 0.232 - 140_544 * 1.8e-3) / 380e12 * 1e15, -1)
    assert actions.synop_conv.energy_fj_range[1] == round(2600 / 380e12 * 1e15, -1)


def test_loihi_2_peak_rates_of_hala_point():
    """16 PB/s of memory and 3.5 PB/s core-to-core over 140,544 cores."""
    chip = load_chip("loihi2")
    word_bytes = chip.core.word_bits / 8
    assert chip.actions.word_read.latency_ps == round(word_bytes / (16e15 / 140_544) * 1e12)
    assert chip.links.core_to_router.bandwidth_gbps == pytest.approx(3.5e15 / 140_544 * 8 / 1e9, rel=1e-3)
    assert chip.actions.synop_dense.latency_ps_range[0] == round(1e12 / (380e12 / 140_544), -1)


@pytest.mark.parametrize("synapses, bits, words", [(100, 3, 24), (50, 4, 13), (10, 5, 3)])
def test_loihi_2_sparse_storage_of_logged_layers(synapses, bits, words):
    """lava-dl PilotNet LIF: words per input of dense 100, 50 and 10; bits of the trained weights."""
    chip = load_chip("loihi2")
    index_bits = chip.formats.sparse.index_bits[0]
    assert 2 ** chip.formats.sparse.index_bits[-1] == chip.core.neurons
    assert ceil((synapses * (bits + index_bits) + chip.formats.sparse.header_bits) / chip.core.word_bits) == words


@pytest.mark.parametrize(
    "neurons_per_column, width, logged",
    [
        (66 * 3, 200, 16),
        (32 * 24, 99, 4),
        (15 * 36, 49, 4),
        (7 * 48, 24, 8),
        (4 * 64, 22, 8),
        (2 * 64, 20, 16),
    ],
)
@pytest.mark.parametrize("end", [0, 1])
def test_loihi_2_slices_of_logged_layers(neurons_per_column, width, logged, end):
    """lava-dl PilotNet: the widest power of two within the limit, at both ends of its range, is as logged."""
    limit = load_chip("loihi2").partition.conv_slice_neurons_range[end]
    widths = [2**power for power in range(width.bit_length() + 1)]
    assert max(columns for columns in widths if columns * neurons_per_column <= limit) == logged


def test_barrier_is_piecewise_linear_and_level_beyond_its_ends():
    chip = load_chip("loihi")
    published = {1: 600_000, 2: 1_000_000, 4: 1_400_000, 29: 1_800_000}  # SANA-FE, arch/loihi.yaml
    assert {routers: chip.barrier_ps(routers) for routers in published} == published
    assert chip.barrier_ps(3) == 1_200_000
    assert chip.barrier_ps(14) == 1_400_000 + 10 * 400_000 // 25
    assert chip.barrier_ps(0) == 600_000
    assert chip.barrier_ps(32) == 1_800_000


@pytest.mark.parametrize("name", CHIPS)
def test_sizes_of_a_chip(name):
    """8 x 4 routers with 4 cores each: the 128 cores of both chips."""
    chip = load_chip(name)
    assert (chip.routers, chip.cores) == (32, 128)


def test_link_service_is_at_least_a_picosecond():
    chip = load_chip("loihi")
    fast = chip.links.east_west.model_copy(update={"bandwidth_gbps": 1e9})
    chip = chip.model_copy(update={"links": chip.links.model_copy(update={"east_west": fast})})
    assert chip.link_service_ps("east_west") == 1


def test_unknown_costs_are_listed():
    assert load_chip("loihi").unknown_costs() == []
    assert load_chip("loihi2").unknown_costs() == ["message_in", "word_read"]
    assert load_chip("loihi").power.static_mw == 18


def numbers_in(table: dict, prefix: str = "") -> list[str]:
    """Key paths of all numbers of a parsed chip file, lists of numbers included, ranges not."""
    found = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += numbers_in(value, f"{prefix}{key}.")
        elif not isinstance(value, str) and not key.endswith("_range"):
            found.append(f"{prefix}{key}")
    return found


@pytest.mark.parametrize("name", CHIPS)
def test_every_number_has_a_source_and_a_basis(name):
    data = tomllib.loads(read(name))
    chip = load_chip(name)
    rows = chip.provenance()
    keys = [row.key for row in rows]
    words = {"format_default.dense_layers", "management.default.runtime"}
    assert [key for key in keys if key not in words] == numbers_in(data)
    for row in rows:
        assert row.basis in {"measured", "published", "derived", "fitted", "assumed"}
        assert all(part.split(",")[0].strip() in data["sources"] for part in row.source.split(";"))
        assert row.note or row.basis in {"measured", "published"}


def test_provenance_of_a_number_with_its_own_origin():
    rows = {row.key: row for row in load_chip("loihi2").provenance()}
    latency, energy = rows["actions.neuron_update.latency_ps"], rows["actions.neuron_update.energy_fj"]
    assert (latency.value, latency.range, latency.basis) == (4_200, (590, 4_850), "derived")
    assert (energy.value, energy.range, energy.basis) == (172_500, (140_000, 255_000), "fitted")
    assert latency.source.startswith("intel_brief2021")
    assert energy.source.startswith("lava_dl_pilotnet")


@pytest.mark.parametrize("name", CHIPS)
def test_every_source_is_used_or_mentioned(name):
    chip = load_chip(name)
    texts = " ".join(f"{row.source} {row.note}" for row in chip.provenance())
    assert [key for key in chip.sources if key not in texts] == []


def test_a_path_works_as_a_name_does(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(read("loihi2").replace('name = "loihi2"', 'name = "mine"'), encoding="utf-8")
    chip = load_chip(file)
    assert chip.name == "mine"
    assert chip.path == file
    assert chip.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert load_chip(str(file)).actions == load_chip("loihi2").actions


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbf" + read("loihi").replace("\n", "\r\n").encode())
    assert load_chip(file).provenance() == load_chip("loihi").provenance()


def test_a_chip_survives_pickling():
    """Parallel sweeps send it to other processes."""
    chip = load_chip("loihi2")
    copy: BarrierChip = pickle.loads(pickle.dumps(chip))
    assert copy == chip
    assert (copy.sha256, copy.provenance()) == (chip.sha256, chip.provenance())


@pytest.mark.parametrize("name, meant", [("lohi2", "loihi2"), ("Loihi2", "loihi2"), ("loihi1", "loihi")])
def test_typo_in_a_name(name, meant):
    with pytest.raises(ChipError, match=f'did you mean "{meant}"') as caught:
        load_chip(name)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert repr(name) in message
    assert all(chip in message for chip in CHIPS)


@pytest.mark.parametrize("name", ["", ".", "abacus", "two\nlines"])
def test_unknown_name_lists_the_chips(name):
    with pytest.raises(ChipError) as caught:
        load_chip(name)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(chip in message for chip in CHIPS)


def test_missing_file(tmp_path):
    message = error_of_file(tmp_path / "loihi3.toml")
    assert message.startswith("no such file")
    assert "loihi2" in message


def test_directory(tmp_path):
    assert error_of_file(tmp_path).startswith("is a directory")


def test_binary_junk(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"name = 1\n" + bytes(range(256)))
    assert error_of_file(file).startswith("line 3: byte 0x80 is not UTF-8")


def test_null_byte_in_the_path():
    with pytest.raises(ChipError, match="cannot be read") as caught:
        load_chip("a\0b.toml")
    assert str(caught.value).isprintable()


def test_huge_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"#" * 1_000_001)
    assert "more than 1,000,000 bytes" in error_of_file(file)


@pytest.mark.parametrize(
    "text, problem",
    [
        ('name = "a"\nthis is not TOML\n', "line 2"),
        ('name = "a"\nname = "b"\n', "line 2"),
        ('name = "a"\ntitle = "b', "line 2, the end of the file"),
        ("name = " + "[" * 5000, "nested too deep"),
        ("name = " + "1" * 5000, "thousands of digits"),
    ],
)
def test_not_toml(tmp_path, text, problem):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert problem in error_of_file(file)


def test_empty_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("")
    message = error_of_file(file)
    assert message.startswith("name: missing: add name = ...")
    assert message.endswith("more problems)")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_file(tmp_path, share):
    text = read("loihi2")
    file = tmp_path / "mine.toml"
    file.write_text(text[: int(share * len(text))], encoding="utf-8")
    assert any(word in error_of_file(file) for word in ("missing", "line", "is not a key of [sources]"))


@pytest.mark.parametrize(
    "old, new, start, contains",
    [
        ("latency_ps = 3_200", "latency_ps = -3", "actions.message_in.latency_ps = -3: must be >= 0", "picoseconds"),
        ("latency_ps = 3_200", "latency_ps = 3.5", "actions.message_in.latency_ps = 3.5: must be a whole number", ""),
        (
            "latency_ps = 3_200",
            "latency_ps = true",
            "actions.message_in.latency_ps = true: must be a whole number",
            "",
        ),
        ("latency_ps = 3_200", "latency_ps = '9'", "actions.message_in.latency_ps = '9': must be a whole number", ""),
        (
            "latency_ps = 3_200",
            f"latency_ps = {2**64}",
            f"actions.message_in.latency_ps = {2**64}: must be <= 1,0",
            "",
        ),
        ("energy_fj = 5_470", "energy_fj = nan", "actions.synop_dense.energy_fj = nan: must be a finite", ""),
        ("energy_fj = 5_470", "energy_fj = inf", "actions.synop_dense.energy_fj = inf: must be a finite", ""),
        ("energy_fj = 5_470", "energy_fj = -0.5", "actions.synop_dense.energy_fj = -0.5: must be >= 0", "femtojoules"),
        ("energy_fj = 5_470", "energy_fj = true", "actions.synop_dense.energy_fj = true: must be a number", ""),
        ("energy_fj = 5_470\n", "", "actions.synop_dense.energy_fj_range", "a range without a value"),
        ("bandwidth_gbps = 199.2", "bandwidth_gbps = 0", "links.core_to_router.bandwidth_gbps = 0: must be >=", ""),
        ("cores_per_router = 4", "cores_per_router = 0", "mesh.cores_per_router = 0: must be >= 1", "cores"),
        ("rows = 4\n", "", "mesh.rows: missing: add rows = ... to [mesh]", ""),
        ("message_out = 16", "message_out = 0", "buffers.message_out = 0: must be >= 1", "slots"),
        ("graded = true", "graded = 1", "messages.graded = 1: must be true or false", ""),
        ("static_mw = 232\n", "static_mw = -1\n", "power.static_mw = -1: must be >= 0", "milliwatts"),
        ('"barrier"', '"frames"', "discipline = 'frames': must be one of ", ""),
        ('name = "loihi2"', 'name = ""', "name = '': must not be empty", ""),
        ('name = "loihi2"', "name = 2", "name = 2: must be a text in quotes", ""),
        ("[590, 4_850]", "[4_850, 590]", "actions.neuron_update.latency_ps_range = [4850, 590]: must be", "4200"),
        ("[590, 4_850]", "[5_000, 6_000]", "actions.neuron_update.latency_ps_range = [5000, 6000]: must be", "4200"),
        ("[590, 4_850]", "[590]", "actions.neuron_update.latency_ps_range = [590]: must have exactly 2", ""),
        ("[590, 4_850]", "[nan, 4_850]", "actions.neuron_update.latency_ps_range[0] = nan: must be a whole number", ""),
        (
            "[140_000, 255_000]",
            "[nan, 255_000]",
            "actions.neuron_update.energy_fj_range[0] = nan: must be a finite",
            "",
        ),
        (
            "message_out = 16",
            "message_out = 16\nmessage_out_range = [20, 30]",
            "buffers.message_out_range = [20, 30]",
            "16",
        ),
        (
            "message_out = 16",
            "message_out = 16\nmessage_out_range = [0, 30]",
            "buffers.message_out_range[0] = 0: must",
            "",
        ),
        ("[590, 4_850]", "[590, -1]", "actions.neuron_update.latency_ps_range[1] = -1: must be >= 0", ""),
        ("[1, 2, 4, 29]", "[1, 2, 4]", "barrier.latency_ps = [", "has 4 entries, but routers has 3"),
        ("[1, 2, 4, 29]", "[1, 2, 2, 29]", "barrier.routers = [1, 2, 2, 29]: must increase", ""),
        ("[1, 2, 4, 29]", "[0, 2, 4, 29]", "barrier.routers[0] = 0: must be >= 1", ""),
        ("[1, 2, 4, 29]", "7", "barrier.routers = 7: must be a list", ""),
        ("[66_700, 1", "[900_000, 1", "barrier.latency_ps = [900000, ", "must not decrease"),
        ("router = [0, 0]", "router = [8, 0]", "host.router = [8, 0]: must be", "[7, 3]"),
        ("router = [0, 0]", "router = [0]", "host.router = [0]: must have exactly 2", ""),
        ("neurons = 8_192", "neurons = 4_000", "partition.conv_slice_neurons = 4095: must be <= core.neurons", "4000"),
        ("time_share = 0\n", "time_share = 1.5\n", "zeros.time_share = 1.5", "must be <= 1"),
        ("time_share_range = [0, 1]", "time_share_range = [0.5, 1]", "zeros.time_share_range", "around"),
        ("conv_skipped = true", "conv_skipped = 1", "zeros.conv_skipped = 1", "true or false"),
        ("index_bits = [12, ", "index_bits = [14, ", "formats.sparse.index_bits = [14, ", "must increase"),
        (
            "header_bits = 10",
            "header_bits = 10\nindex_bits = [8]",
            "formats.dense.index_bits = [8]: must be left out",
            "",
        ),
    ],
)
def test_wrong_value(error_of, old, new, start, contains):
    message = error_of(old, new)
    assert message.startswith(start)
    assert contains in message


@pytest.mark.parametrize(
    "limits, key, contains",
    [
        (
            "[[70_000, 0, 0, 0], [1, 2, 3, 4]]",
            "latency_ps_range = [[70000, 0, 0, 0], [1, 2, 3, 4]]",
            "around latency_ps",
        ),
        ("[[0, 0, 0], [80_000, 111_000, 156_000]]", "latency_ps_range = [[0, 0, 0], ", "around latency_ps"),
        ("[[0, 9, 0, 0], [80_000, 111_000, 156_000, 195_000]]", "latency_ps_range = [0, 9, 0, 0]", "must not decrease"),
        ("[[0, 0, 0, 0]]", "latency_ps_range = [[0, 0, 0, 0]]", "exactly 2"),
        ("[0, 195_000]", "latency_ps_range[0] = 0", "must be a list"),
    ],
)
def test_ranges_of_the_barrier(error_of, limits, key, contains):
    message = error_of(
        "[66_700, 111_000, 156_000, 195_000]", f"[66_700, 111_000, 156_000, 195_000]\nlatency_ps_range = {limits}"
    )
    assert message.startswith(f"barrier.{key}")
    assert contains in message


@pytest.mark.parametrize(
    "old, new, start, contains",
    [
        ("latency_ps = 3_200", "latency = 3_200", "actions.message_in.latency = 3200: unknown", '"latency_ps"'),
        ("[actions.spike]", "[actions.spikes]", "actions.spikes: unknown", '"spike"'),
        ("[barrier]", "[barier]", "barier: unknown", '"barrier"'),
        ("[mesh]", "voltage = 3\n[mesh]", "voltage = 3: unknown", "the keys here are name, title"),
        ("[power]", "[power]\npath = 'x'", "power.path = 'x': unknown", "static_mw"),
        ('name = "loihi2"', 'name = "loihi2"\nsha256 = "0"', "sha256 = '0': unknown", ""),
        ("[core.origin.word_bits]", "[core.origin.word_bit]", "core.origin.word_bit: unknown", '"word_bits"'),
        ("[core.origin.word_bits]", "[core.origin.axons_in]", "core.origin.axons_in: an origin without a value", ""),
        ("[power]", '"two\\nlines" = 1\n[power]', "host.origin.router.two lines = 1: unknown", ""),
    ],
)
def test_unknown_key_suggests_the_nearest(error_of, old, new, start, contains):
    message = error_of(old, new)
    assert message.startswith(start)
    assert contains in message


@pytest.mark.parametrize(
    "old, new, start, contains",
    [
        ('source = "ozu_scaling; intel_brief2021"\n', "", "barrier.source: missing: add source = ... to [barrier]", ""),
        ('source = "ozu_scaling; intel_brief2021"\n', 'source = ""\n', "barrier.source = '': must not be empty", ""),
        (
            'source = "ozu_scaling; intel_brief2021"\n',
            'source = "uzo_scaling"\n',
            "barrier.source = 'uzo_scaling'",
            '"ozu_scaling"?',
        ),
        ('"intel_brief2021; davies2018"', '"intel_brief2021; x, y"', "messages.origin.bits.source", "'x' is not a key"),
        ('basis = "published"\n', "", "mesh.basis: missing: add basis = ... to [mesh]", ""),
        ('basis = "published"', 'basis = "guessed"', "mesh.basis = 'guessed': must be 'measured', 'published'", ""),
        (
            'note = "not found for Loihi 2; that of Loihi 1"\n',
            "",
            "formats.sparse.origin.header_bits.note",
            '"assumed"',
        ),
        ("[sources]\n", "[sources]\nextra = 1\n", "sources.extra = 1: must be a text", ""),
    ],
)
def test_origin_of_a_number(error_of, old, new, start, contains):
    message = error_of(old, new)
    assert message.startswith(start)
    assert contains in message


def test_the_number_of_further_problems_is_told(error_of):
    assert error_of("columns = 8\nrows = 4", "columns = 0\nrows = 0").endswith("(and 1 more problem)")


def test_a_changed_chip_differs_where_it_is_told_to():
    chip = load_chip("loihi2")
    other = changed(chip, {"mesh.columns": 2, "actions.spike.latency_ps": 7})
    assert (other.mesh.columns, other.actions.spike.latency_ps, other.routers) == (2, 7, 2 * chip.mesh.rows)
    assert changed(other, {"mesh.columns": chip.mesh.columns, "actions.spike": chip.actions.spike}) == chip


@pytest.mark.parametrize("key", ["collumns", "mesh.collumns", "actions.spike.latency"])
def test_a_chip_is_changed_only_where_it_has_a_value(key):
    with pytest.raises((KeyError, AttributeError), match=key.split(".")[-1]):
        changed(load_chip("loihi2"), {key: 1})
