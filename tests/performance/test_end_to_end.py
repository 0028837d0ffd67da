"""A whole training epoch of MMPareto on the CG-MNIST network, data included, against the usual recipe.

Both are in ``tests/support/recipes.py``. Each side is a process of its own, so that each has the memory
settings that it has in use; they take turns.
"""

from __future__ import annotations

import pytest
from measured import Results, comparison
from recipes import BATCH, FORMATS, USUAL, USUAL_KEEPING, usual_step
from scenes import make_method, scene
from sides import Side, taking_turns

pytestmark = pytest.mark.performance

ROUNDS = 9


def test_the_usual_recipe_computes_our_update():
    ours, theirs = scene("cg_mnist", 8), scene("cg_mnist", 8)
    ours.step(make_method("mmpareto", "released"))()
    theirs.network.train()
    usual_step(theirs, theirs.inputs, theirs.targets["label"])
    pairs = zip(ours.network.named_parameters(), theirs.network.named_parameters(), strict=True)
    for (name, found), (_, expected) in pairs:
        difference = (found.grad - expected.grad).norm() / expected.grad.norm()
        assert float(difference) < 1e-4, name


def test_an_epoch_against_the_usual_recipe(results: Results):
    names = [USUAL, USUAL_KEEPING, *FORMATS]
    program = "from recipes import serve_epochs; serve_epochs(sys.argv[1])"
    times = taking_turns({name: Side(program, name) for name in names}, ROUNDS)
    where = f"MMPareto on CG-MNIST, batch {BATCH}, data included"
    for baseline, goal in ((USUAL, 2.5), (USUAL_KEEPING, None)):
        results.add(
            *(
                comparison(name, times, baseline, kind="speed-up", goal=goal, where=f"{where}, against {baseline}")
                for name in FORMATS
            )
        )
