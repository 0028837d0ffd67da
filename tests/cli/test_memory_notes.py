"""What a plan says of the memory that runs need on a named device."""

from counterpoise.cli.overview import memory_notes
from counterpoise.runs.devices import device_named


def test_runs_that_fit_no_device_are_named_and_those_that_micro_batches_make_fit_with_the_size():
    needed = {"a/mbt/joint": 48e9, "a/mbt/agm": 90e9, "a/mbt/uniform": 50e9, "b/mbt/joint": 48e9, "b/mbt/uniform": 50e9}
    parts = {"a/mbt/joint": 16, "a/mbt/agm": None, "a/mbt/uniform": 16, "b/mbt/joint": 16, "b/mbt/uniform": 8}
    lines = memory_notes(needed | {"a/small/joint": 1e9}, device_named("rtx4090"), parts)
    assert "90 GB" in lines[0]
    assert lines[1].endswith("too little for methods on a/mbt, b/mbt")
    assert lines[2:] == [
        "with 'micro_batch: 16' in the protocol, joint, uniform would fit on a/mbt",
        "with 'micro_batch: 16' in the protocol, joint would fit on b/mbt",
        "with 'micro_batch: 8' in the protocol, uniform would fit on b/mbt",
    ]


def test_models_with_the_same_size_and_methods_are_told_together():
    needed = {f"{data}/mbt/{method}": 48e9 for data in "ab" for method in ("joint", "uniform")}
    lines = memory_notes(needed, device_named("rtx4090"), dict.fromkeys(needed, 16))
    assert lines[2:] == ["with 'micro_batch: 16' in the protocol, joint, uniform would fit on a/mbt, b/mbt"]


def test_where_all_runs_fit_no_micro_batch_is_offered():
    lines = memory_notes({"a/small/joint": 1e9}, device_named("rtx4090"), {})
    assert lines[1:] == ["the device has 24 GB"]
