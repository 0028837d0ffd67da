"""The min-norm solver against a general quadratic solver, and MGDA and PCGrad against an independent library."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torchjd.aggregation import MGDA, PCGrad
from torchjd.aggregation import _pcgrad as torchjd_pcgrad

from counterpoise.methods.conventional_pareto import ConventionalPareto
from counterpoise.methods.min_norm import LARGEST_NUMBER, keep_off_boundary, min_norm_weights
from counterpoise.methods.pcgrad import PCGrad as OurPCGrad


def matrices(size: int) -> list[tuple[str, Tensor]]:
    """Gradients by row, ``(size, 5)``: random ones of every rank and scale, and degenerate ones."""
    random = np.random.default_rng(size)
    found = []
    for rank in range(1, 5):
        for scale in (1e-15, 1.0, 1e15):
            matrix = random.normal(size=(size, rank)) @ random.normal(size=(rank, 5))
            found.append((f"rank {rank}, scale {scale:g}", scale * matrix))
    base = random.normal(size=(size, 5))
    zero, equal, opposite, lengths = base.copy(), base.copy(), base.copy(), base.copy()
    zero[0] = 0.0
    equal[1:] = equal[0]
    opposite[1] = -opposite[0]
    lengths *= 10.0 ** np.arange(size)[:, None]
    found += [
        ("one zero", zero),
        ("all zero", np.zeros((size, 5))),
        ("equal", equal),
        ("two opposite", opposite),
        ("lengths apart", lengths),
        ("agreeing", base + 5.0),
        ("on one line", np.linspace(-1.0, 2.0, size)[:, None] * base[0] + base[-1]),
    ]
    return [(name, torch.tensor(matrix, dtype=torch.float64)) for name, matrix in found]


CASES = [(size, name, matrix) for size in (2, 3, 4) for name, matrix in matrices(size)]
IDS = [f"{size} gradients: {name}" for size, name, _ in CASES]
every_matrix = pytest.mark.parametrize("matrix", [matrix for _, _, matrix in CASES], ids=IDS)


def in_units(matrix: Tensor) -> Tensor:
    """The matrix with its longest row of length one, for solvers that have absolute tolerances."""
    longest = matrix.norm(dim=1).max()
    return matrix / longest if longest > 0 else matrix


@every_matrix
def test_norm_is_that_of_a_general_quadratic_solver(matrix):
    unit = in_units(matrix).numpy()
    gramian = unit @ unit.T
    size = len(gramian)
    best = min(
        minimize(
            lambda w: w @ gramian @ w,
            start,
            jac=lambda w: 2 * gramian @ w,
            bounds=[(0, 1)] * size,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(size)},
            method="SLSQP",
            options={"ftol": 1e-16, "maxiter": 500},
        ).fun
        for start in (np.full(size, 1 / size), np.eye(size)[0] * 0.5 + 0.5 / size)
    )
    weights = min_norm_weights(matrix @ matrix.T).numpy()
    assert weights @ gramian @ weights == pytest.approx(best, abs=1e-9)
    assert weights @ gramian @ weights <= best + 1e-12


@every_matrix
def test_weights_lie_in_the_simplex(matrix):
    weights = min_norm_weights(matrix @ matrix.T)
    assert (weights >= 0).all()
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)


@every_matrix
def test_no_gradient_ascends(matrix):
    """Optimality: the min-norm point has at least its own square as product with every gradient."""
    unit = in_units(matrix)
    point = min_norm_weights(matrix @ matrix.T) @ unit
    assert (unit @ point).min() >= point @ point - 1e-12


@every_matrix
def test_solution_is_that_of_torchjd(matrix):
    unit = in_units(matrix)
    losses = torch.ones(len(unit), dtype=torch.float64)
    theirs = MGDA(epsilon=1e-9, max_iters=1500)(unit)
    weights, _ = ConventionalPareto().weights(matrix @ matrix.T, losses, {})
    ours = weights / len(unit) @ unit
    excess = float(theirs @ theirs - ours @ ours)
    assert excess >= -1e-12
    # Frank-Wolfe takes long to settle: what its norm is still above ours bounds how far it is off.
    assert float((ours - theirs).norm()) <= 1e-6 + max(excess, 0.0) ** 0.5
    assert float((ours - theirs).norm()) <= 0.02


@pytest.mark.parametrize("size", [2, 3, 4])
def test_two_and_more_agree_where_one_gradient_is_repeated(size):
    pair = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    matrix = torch.cat([pair, pair[1:].expand(size - 2, 2)])
    point = min_norm_weights(matrix @ matrix.T) @ matrix
    assert torch.allclose(point, torch.tensor([0.2, 0.4], dtype=torch.float64))


@pytest.mark.parametrize("size", range(1, LARGEST_NUMBER + 1))
def test_equal_and_zero_gradients_get_equal_weights(size):
    for gramian in (torch.ones(size, size), torch.zeros(size, size)):
        weights = min_norm_weights(gramian.double())
        assert torch.allclose(weights, torch.full((size,), 1 / size, dtype=torch.float64))


def least_square(gramian: list[list[Fraction]]) -> Fraction:
    """The square of the least norm in exact arithmetic: that of the one stationary point of a face that is in
    the simplex and has at least its own square as product with every gradient."""
    size = len(gramian)
    for count in range(1, size + 1):
        for face in itertools.combinations(range(size), count):
            # Stationary with shares s that sum to one: G s = c 1, so s is G^-1 1 divided by its sum.
            raw = solved([[gramian[i][j] for j in face] for i in face], [Fraction(1)] * count)
            shares = {i: value / sum(raw) for i, value in zip(face, raw, strict=True)}
            square = 1 / sum(raw)
            products = [sum(gramian[i][j] * share for j, share in shares.items()) for i in range(size)]
            if min(shares.values()) >= 0 and min(products) >= square:
                return square
    raise AssertionError("no face has the point")


def solved(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k, row in enumerate(rows):
        rows[k] = [value / row[k] for value in row]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


def square_over_least(gramian: Tensor) -> float:
    """The square of the norm that the solver's weights give over the least possible, in exact arithmetic."""
    rows = [[Fraction(float(value)) for value in row] for row in gramian]
    shares = [Fraction(float(value)) for value in min_norm_weights(gramian)]
    total = sum(shares)
    pairs = itertools.product(range(len(rows)), repeat=2)
    square = sum(shares[i] * rows[i][j] * shares[j] for i, j in pairs) / total**2
    return float(square / least_square(rows))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("step", [1e2, 1e4, 1e7])
@pytest.mark.parametrize("seed", range(4))
def test_lengths_that_lie_far_apart_do_not_blur_the_least_norm(size, step, seed):
    """The shortest gradients decide: squares that are nothing beside the longest one's must still count."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(size, 7))
    lengths = step ** -np.arange(size)
    if seed % 2:
        lengths = lengths[::-1]
    matrix = torch.tensor(directions / np.linalg.norm(directions, axis=1)[:, None] * lengths[:, None])
    assert square_over_least(matrix @ matrix.T) == pytest.approx(1.0, abs=1e-6)


def test_the_least_norm_of_lengths_1_2e_8_and_1e_9():
    gramian = torch.diag(torch.tensor([1.0, 2e-8, 1e-9], dtype=torch.float64)).square()
    assert square_over_least(gramian) == pytest.approx(1.0, abs=1e-12)


def test_batches_of_gramians_are_solved_one_by_one():
    stack = torch.stack([matrix @ matrix.T for size, _, matrix in CASES if size == 3])
    together = min_norm_weights(stack)
    assert torch.equal(together, torch.stack([min_norm_weights(gramian) for gramian in stack]))


def test_too_many_gradients_are_refused():
    with pytest.raises(ValueError, match=f"at most {LARGEST_NUMBER}"):
        min_norm_weights(torch.eye(LARGEST_NUMBER + 1))


def test_only_boundary_solutions_are_moved():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9999, 0.0001], [0.4, 0.6]], dtype=torch.float64)
    expected = torch.tensor([[0.999, 0.001], [0.001, 0.999], [0.9999, 0.0001], [0.4, 0.6]]).double()
    assert torch.allclose(keep_off_boundary(weights, 0.001), expected, atol=1e-7)


@every_matrix
def test_pcgrad_is_torchjds_in_the_same_order(matrix, monkeypatch):
    unit = in_units(matrix)
    size = len(unit)
    keys = torch.rand(size, size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    orders = iter(keys.argsort(dim=1))
    monkeypatch.setattr(torchjd_pcgrad.torch, "randperm", lambda _: next(orders))
    theirs = PCGrad()(unit)
    losses = torch.ones(size, dtype=torch.float64)
    weights, _ = OurPCGrad().weights(unit @ unit.T, losses, {"random": keys.flatten()})
    assert torch.allclose(weights @ unit, theirs, atol=1e-9)
