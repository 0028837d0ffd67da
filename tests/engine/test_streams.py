"""Every random stream of a run is its own, and the same wherever and whenever it is drawn from."""

from __future__ import annotations

import itertools

import torch

from counterpoise.engine.streams import generator, seed_layers, stream_seed


def test_seed_name_and_numbers_all_count():
    seeds = [
        stream_seed(seed, name, *numbers)
        for seed, name, numbers in itertools.product(range(3), ("shuffle", "noise"), ((), (0,), (1,), (0, 1), (1, 0)))
    ]
    assert len(set(seeds)) == len(seeds)


def test_numbers_are_not_run_together():
    assert stream_seed(0, "noise", 1, 23) != stream_seed(0, "noise", 12, 3)
    assert stream_seed(1, "0/noise") != stream_seed(10, "noise")


def test_seeds_fit_every_generator():
    seeds = [stream_seed(seed, "x") for seed in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_streams_are_the_same_on_every_machine():
    # Written down once: a changed stream would change every result without changing any formula.
    assert stream_seed(0, "shuffle", 1) == 6589058160304026109


def test_a_generator_starts_at_the_beginning_of_its_stream():
    first = torch.randn(5, generator=generator(3, "noise", 1, 2))
    assert torch.equal(first, torch.randn(5, generator=generator(3, "noise", 1, 2)))
    assert not torch.equal(first, torch.randn(5, generator=generator(3, "noise", 2, 1)))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    torch.randn(7, generator=generator(0, "noise"))
    assert torch.equal(torch.randn(3), expected)


def test_layers_draw_as_after_torchs_own_seeding():
    dropout, seed = torch.nn.Dropout(0.5), stream_seed(0, "dropout", 1, 2)
    drawn = []
    for seeding in (torch.manual_seed, lambda seed: seed_layers(seed, torch.device("cpu"))):
        with torch.random.fork_rng(devices=[]):
            seeding(seed)
            drawn.append(dropout(torch.ones(100)))
    assert torch.equal(*drawn)
