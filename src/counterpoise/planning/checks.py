"""What can be known to fail before a run starts: a training that its data does not allow.

Sizes of splits are known once a dataset is prepared; what its settings say is known before.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from counterpoise.components import component, load_class

if TYPE_CHECKING:
    from counterpoise.planning.forms import Form


def validation_size(config: Mapping[str, Any], sizes: Mapping[str, int] | None) -> int | None:
    """Return how many validation samples a cell's runs have, None where nobody can tell yet.

    Args:
        config: a cell's resolved configuration.
        sizes: split -> number of samples of the prepared data, None before it is prepared.
    """
    fraction = config["protocol"]["validation_fraction"]
    if sizes is not None:
        if "val" in sizes:
            return sizes["val"]
        return max(1, round(fraction * sizes["train"])) if fraction > 0 else 0
    # Datasets that split off validation data themselves call the share 'val_fraction'.
    if config["dataset"]["settings"].get("val_fraction") == 0 and fraction == 0:
        return 0
    return None


def refusal_of_data(config: Mapping[str, Any], sizes: Mapping[str, int] | None) -> str:
    """Return why a cell's runs cannot be trained on its data, or nothing."""
    protocol, held_out = config["protocol"], validation_size(config, sizes)
    info = component("method", config["method"]["name"]).info
    if "validation_split" in info.needs and held_out == 0:
        return (
            f"method '{info.name}' needs validation data, and dataset '{config['dataset']['component']}' has none; "
            "set 'validation_fraction' in the protocol"
        )
    if sizes is None:
        return ""
    train = sizes["train"] - (0 if "val" in sizes or held_out is None else held_out)
    if protocol["drop_last"] and train < protocol["batch_size"]:
        return (
            f"{train} training samples give no whole batch of 'batch_size' {protocol['batch_size']}, and 'drop_last' "
            "leaves out the others; lower 'batch_size' or set 'drop_last: false' in the protocol"
        )
    return ""


def refusal_of_micro_batch(config: Mapping[str, Any], form: Form | None) -> str:
    """Return why a cell's runs cannot be trained in micro-batches, or nothing.

    ``form`` is None where nobody can tell yet what the network is built for: then only the method is looked at here,
    and the network once the data is there.
    """
    # Found by its name, as components are: planning imports no engine, and torch for such protocols alone.
    rule = importlib.import_module("counterpoise.engine.whole_batch")
    return rule.refusal(config, form, load_class)


def refusal_of_selection(selection: str, config: Mapping[str, Any], sizes: Mapping[str, int] | None) -> str:
    """Return why no epoch of a cell's runs can be selected as a benchmark asks, or nothing."""
    if selection != "best_val" or validation_size(config, sizes) != 0:
        return ""
    return (
        f"'selection' is best_val, and runs on dataset '{config['dataset']['component']}' have no validation data; "
        "set 'validation_fraction' in the protocol, or select 'last' or 'best_test'"
    )
