"""From raw files as people have them to a table, with every dataset that a table can be made of."""

import csv
import shutil

import data_trees
import odd_trees
import pytest
import yaml

from counterpoise.cli.app import main
from counterpoise.data.prepared import PreparedData
from counterpoise.planning.plan import make_plan

SMALL = {"frame_size": [32, 40], "max_dropped": 0.9}
RESNET = {"component": "resnet18", "settings": {"width": 16}}
CONV = {"component": "conv4", "settings": {"channels": 2, "width": 8}}
AUDIO_VISUAL = {
    "encoders": {"audio": RESNET, "visual": RESNET},
    "inputs": {"visual": {"frames": 1, "random_frames": True, "size": [32, 32], "crop_scale": [0.3, 1.0], "flip": 0.5}},
    "fusion": {"component": "concat"},
}
MODELS = {
    "av": AUDIO_VISUAL,
    "views": {
        "encoders": {"front": RESNET, "back": RESNET},
        "inputs": {"front": {"size": [32, 32]}, "back": {"size": [32, 32]}},
        "fusion": {"component": "concat"},
    },
    "digits": {"encoders": {"gray": CONV, "colour": CONV}, "fusion": {"component": "concat"}},
    "tasks": {
        "encoders": {"image": {"component": "lenet", "settings": {"channels": 2, "width": 8}}},
        "head": {"hidden": 8},
    },
    "dense": {"encoders": {"image": {"component": "segnet", "settings": {"width": 4}}}},
    "vectors": {
        "encoders": {name: {"component": "mlp", "settings": {"width": 8}} for name in ("text", "audio", "visual")},
        "fusion": {"component": "concat"},
    },
}
PROTOCOL = {
    "optimiser": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
    "epochs": 2,
    "batch_size": 8,
}
# dataset -> (paper, table, column group, model, settings)
DATASETS = {
    "crema_d": ("mmpareto", "table1", "crema_d", "av", {"front_end": "ogm", **SMALL}),
    "kinetics_sounds": ("mmpareto", "table1", "kinetics_sounds", "av", {"front_end": "ogm", **SMALL}),
    "cg_mnist": ("mmpareto", "table3", "cg_mnist", "digits", {"val_fraction": 0.2}),
    "modelnet40": ("mmpareto", "table3", "modelnet40", "views", {"size": 40, "max_dropped": 0.9}),
    "multi_mnist": ("mmpareto", "table5", "multi_mnist", "tasks", {}),
    "cmu_mosi": ("mmpareto", "table7", "cmu_mosi", "vectors", {}),
    "ave": ("mlb", "figure3", "ave_resnet_late", "av", SMALL),
    "ucf101": ("mlb", "figure3", "ucf101_resnet_late", "av", {"val_fraction": 0.3, **SMALL}),
    "nyuv2": ("mmpareto", "table4", "nyuv2", "dense", {"train_images": 17, "test_images": 2, "max_dropped": 0.9}),
    "grid": ("mlb", "figure3", "crema_d_resnet_late", "av", SMALL),
}
TREES = {"cg_mnist": data_trees.mnist, "multi_mnist": data_trees.mnist, "cmu_mosi": data_trees.cmu_mosi}
"""Datasets of a few files. An odd one of those is refused: test_odd_trees."""


@pytest.fixture
def project(tmp_path, repository):
    shutil.copytree(repository / "configs/papers", tmp_path / "configs/papers")
    for name, model in MODELS.items():
        write(tmp_path, f"configs/models/{name}.yaml", {"title": name, **model})
    write(tmp_path, "configs/protocols/tiny.yaml", {"title": "Two epochs", **PROTOCOL})
    return tmp_path


def write(root, path, data):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(yaml.safe_dump(data, sort_keys=False))


def rows_to_run(repository, paper, table):
    """The row of the sum of all losses, as the paper spells it."""
    content = yaml.safe_load((repository / f"configs/papers/{paper}/{table}.yaml").read_text())
    return [row["id"] for row in content["rows"] if row["method"] == "uniform"][:1]


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.usefixtures("decode_here")
def test_raw_files_become_a_row_of_a_table_and_odd_ones_are_left_out_by_name(project, repository, name):
    paper, table, group, model, settings = DATASETS[name]
    tree, odd = (TREES[name](project / "mine"), {}) if name in TREES else getattr(odd_trees, name)(project / "mine")
    write(project, f"configs/datasets/{name}.yaml", {"component": name, "title": name, "settings": settings})
    benchmark = project / "configs/benchmarks/one.yaml"
    columns = {group: {"dataset": name, "model": model, "protocol": "tiny"}}
    rows = rows_to_run(repository, paper, table)
    write(
        project,
        "configs/benchmarks/one.yaml",
        {
            "name": "one",
            "title": "One dataset",
            "seeds": [0],
            "data_roots": {name: str(tree)},
            "tables": [{"paper": paper, "table": table, "columns": columns, "rows": rows}],
        },
    )
    options = ["--benchmark", str(benchmark), "--root", str(project)]
    if name != "crema_d":  # of which each clip that is missing would be asked for
        assert main(["fetch", name, *options]) == 0
    assert main(["prepare", name, *options]) == 0
    plan = make_plan(project, benchmark)
    (data,) = plan.datasets
    prepared = PreparedData.open(project / data.directory)
    left_out = {entry["id"]: entry["reason"] for entry in prepared.manifest["dropped"]}
    assert set(left_out) == set(odd)
    for item, reason in odd.items():
        assert reason in left_out[item]
    assert name in TREES or len(odd) >= 10
    cells = [cell.name for cell in plan.cells]
    assert len(cells) == 1
    assert main(["train", cells[0], "--seed", "0", "--device", "cpu", *options]) == 0
    assert main(["report", *options]) == 0
    with (project / "results/one/tables" / paper / f"{table}.csv").open(encoding="utf-8") as file:
        text = " ".join(" ".join(row) for row in csv.reader(file))
    assert rows[0] in text
