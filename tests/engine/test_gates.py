"""What a training step may cost, counted instead of timed: passes through each layer, calls of the library,
and waits for the device.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from scenes import Scene, make_method, scene
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from counterpoise.components import components

FORWARD, BACKWARD = "aten.convolution.default", "aten.convolution_backward.default"

# Forward and backward passes of a whole step through every convolution.
ONCE, TWICE = (1, 1), (1, 2)
PASSES = {
    **dict.fromkeys(("mmpareto", "conventional_pareto", "pcgrad", "metabalance"), TWICE),
    **dict.fromkeys(("joint", "uniform", "ogm", "ogm_ge", "mlb", "mslr", "mmcosine"), ONCE),
    **dict.fromkeys(("pmr", "g_blending", "greedy", "fine_tune", "gradnorm"), ONCE),
    # The padded passes: all samples once more, and one row of zeros.
    "agm": (3, 3),
}
ONE_ENCODER = {"unimodal"}


class Calls(TorchDispatchMode):
    """Counts calls by name, and those of convolutions also by the layer whose weight they take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        layers = ((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d))
        self.layers = {layer.weight.data_ptr(): name for name, layer in layers}
        self.made: Counter[str] = Counter()
        self.passes: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = str(function)
        self.made[name] += 1
        place = {FORWARD: 1, BACKWARD: 2}.get(name)
        if place is not None:
            self.passes[name, self.layers.get(arguments[place].data_ptr(), "a kernel made of one")] += 1
        return function(*arguments, **(keywords or {}))


def calls(seen: Scene, step: Callable[[], object]) -> Calls:
    with Calls(seen.network) as found:
        step()
    return found


@pytest.fixture(scope="module")
def small() -> Scene:
    return scene("digits", 4)


def test_every_method_has_its_count():
    built_in = {n for n, found in components("method").items() if found.module.startswith("counterpoise.")}
    assert built_in == set(PASSES) | ONE_ENCODER


@pytest.mark.parametrize("name", sorted(PASSES))
def test_every_layer_is_passed_as_often_as_the_method_needs(small, name):
    found = calls(small, small.step(make_method(name)))
    layers = [name for name, module in small.network.named_modules() if isinstance(module, nn.Conv2d)]
    inner = [layer for layer in layers if not layer.endswith("conv1")]
    assert len(inner) == 6
    for layer in inner:
        assert (found.passes[FORWARD, layer], found.passes[BACKWARD, layer]) == PASSES[name], layer
    first = len(layers) - len(inner)  # its kernel is made of its weight and of the norm's before it
    total = found.made[FORWARD], found.made[BACKWARD]
    assert total == tuple(len(layers) * n for n in PASSES[name])
    assert first == 2


@pytest.fixture(scope="module")
def audio_visual() -> Scene:
    """ResNet-18 on sound and frames: the layers of the paper's network, on images small enough for a test."""
    return scene("resnet18_small", 2)


def test_gradnorm_passes_its_last_layer_once_more_per_objective_and_all_others_once(audio_visual):
    found = calls(audio_visual, audio_visual.step(make_method("gradnorm")))
    last = {"encoders.audio.layer4.1.conv2", "encoders.visual.layer4.1.conv2"}
    for name, module in audio_visual.network.named_modules():
        if isinstance(module, nn.Conv2d):
            assert found.passes[FORWARD, name] == 1, name
            assert found.passes[BACKWARD, name] == (3 if name in last else 1), name


def test_two_objectives_take_at_most_twice_the_calls_of_their_sum(audio_visual):
    uniform, mmpareto = (
        sum(calls(audio_visual, audio_visual.step(make_method(name))).made.values()) for name in ("uniform", "mmpareto")
    )
    assert mmpareto <= 2.0 * uniform


def test_no_convolution_asks_for_the_gradient_of_data():
    masks = []

    class Masks(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            if str(function) == BACKWARD:
                masks.append(arguments[-1][0])
            return function(*arguments, **(keywords or {}))

    for name in ("digits", "resnet18_small"):
        seen = scene(name, 2)
        step = seen.step(make_method("uniform"))
        masks.clear()
        with Masks():
            step()
        assert masks.count(False) == len(seen.network.encoders), name


def test_a_run_imports_no_compiler():
    """Importing it takes as long as importing torch, and nothing here is compiled."""
    heavy = {"torch._dynamo", "torchvision", "sklearn", "pandas"}
    program = (
        "import sys\n"
        "from counterpoise.testing.toy import Toy, make_method\n"
        "trainer = Toy().trainer(make_method('mmpareto'), epochs=1)\n"
        "trainer.run()\n"
        "trainer.restore(trainer.snapshot())\n"
        f"print(*sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
