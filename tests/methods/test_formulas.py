"""Each formula against numbers worked out by hand from its paper, and where its paper says how it behaves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from counterpoise.engine.gradients import integrate
from counterpoise.methods.agm import AGM
from counterpoise.methods.conventional_pareto import ConventionalPareto
from counterpoise.methods.g_blending import GBlending
from counterpoise.methods.gradnorm import GradNorm
from counterpoise.methods.greedy import Greedy
from counterpoise.methods.interface import COEFFICIENTS, mean_of_others, ratio
from counterpoise.methods.metabalance import MetaBalance
from counterpoise.methods.mlb import MLB
from counterpoise.methods.mmpareto import MMPareto
from counterpoise.methods.mslr import MSLR
from counterpoise.methods.ogm import OGM, OGMGE
from counterpoise.methods.pcgrad import PCGrad
from counterpoise.methods.pmr import PMR, log_similarities, opposite

LOSSES = torch.ones(2, dtype=torch.float64)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Tensor, *expected: float, tolerance: float = 5e-7) -> bool:
    return torch.allclose(found, numbers(*expected), rtol=0.0, atol=tolerance)


def gramian(*vectors: tuple[float, ...]) -> Tensor:
    matrix = torch.tensor(vectors, dtype=torch.float64)
    return matrix @ matrix.T


def combined(method, *vectors: tuple[float, ...], losses: Tensor | None = None, state=None) -> Tensor:
    """The gradient that a method makes of one tensor's gradients."""
    gradients = [[numbers(*vector)] for vector in vectors]
    losses = torch.ones(len(vectors), dtype=torch.float64) if losses is None else losses
    state = method.module_state(len(vectors), 1) if state is None else state
    (result,) = integrate(method, gradients, losses, state).combined
    return result


class TestMMPareto:
    def test_conflict_takes_the_pareto_direction_at_the_uniform_sums_length(self):
        h = combined(MMPareto(gamma=1.5), (1, 0), (-1, 1))
        assert close(h, 0.670820, 1.341641)
        assert close(torch.stack((h @ numbers(1, 0), h @ numbers(-1, 1))), 0.670820, 0.670820)

    def test_no_conflict_is_the_sum_times_gamma(self):
        assert close(combined(MMPareto(gamma=1.5), (1, 0), (1, 1)), 3, 1.5)

    def test_gamma_one_without_conflict_is_the_plain_sum(self):
        assert close(combined(MMPareto(gamma=1.0), (1, 2), (3, 1)), 4, 3)

    def test_stationary_gradients_stay_zero(self):
        assert close(combined(MMPareto(), (1, 0), (-1, 0)), 0, 0)

    def test_orthogonal_gradients_conflict_only_as_released(self):
        published = combined(MMPareto(gamma=1.0), (2, 0), (0, 1))
        released = combined(MMPareto(gamma=1.0, zero_cosine_conflicts=True), (2, 0), (0, 1))
        assert close(published, 2, 1)
        # weights (1/5, 4/5): h' = (0.8, 1.6), rescaled to the length of (2, 1)
        assert close(released, 1, 2)

    def test_released_rescaling_works_tensor_by_tensor_and_never_shrinks(self):
        method = MMPareto(gamma=1.0, rescale="tensor", shrink=False)
        gradients = [[numbers(1, 0), numbers(0.0)], [numbers(-1, 1), numbers(1.0)]]
        result = integrate(method, gradients, LOSSES, {})
        # Gramian of both tensors: mm 1, mu -1, uu 3: weights (4/6, 2/6), h' = (2/3, 2/3) and 2/3.
        # First tensor: length of the sum (0, 1) is 1 > 0.9428: enlarged. Second: 1 > 2/3: enlarged to 1.
        assert close(result.combined[0], 1 / math.sqrt(2), 1 / math.sqrt(2))
        assert close(result.combined[1], 1)

    def test_released_rescaling_leaves_longer_tensors_alone(self):
        method = MMPareto(gamma=1.0, rescale="tensor", shrink=False)
        # Second tensor: h' = 4/3 * 1 + 2/3 * (-1) = 2/3, longer than the sum, which is 0.
        gradients = [[numbers(0, 1), numbers(1.0)], [numbers(-1, -2), numbers(-1.0)]]
        result = integrate(method, gradients, LOSSES, {})
        weights = result.weights
        assert close(result.combined[1], float(weights[0] - weights[1]))
        shrinking = integrate(MMPareto(gamma=1.0, rescale="tensor"), gradients, LOSSES, {})
        assert close(shrinking.combined[1], 0)

    def test_both_objectives_descend(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):
            vectors = torch.randn(2, 5, generator=generator, dtype=torch.float64)
            h = combined(MMPareto(), *map(tuple, vectors.tolist()))
            assert (vectors @ h).min() >= -1e-12

    def test_whole_encoder_rescaling_never_shrinks(self):
        generator = torch.Generator().manual_seed(1)
        for _ in range(50):
            vectors = torch.randn(2, 5, generator=generator, dtype=torch.float64)
            plain = combined(ConventionalPareto(), *map(tuple, vectors.tolist()))
            assert vectors.sum(dim=0).norm() >= plain.norm() - 1e-12

    def test_three_tasks_conflict_where_two_do(self):
        method = MMPareto(gamma=1.0)
        agreeing, _ = method.weights(gramian((1, 0), (1, 1), (0, 1)), torch.ones(3), {})
        conflicting, _ = method.weights(gramian((1, 0), (-1, 1), (0, 1)), torch.ones(3), {})
        assert close(agreeing, 1, 1, 1)
        assert not close(conflicting, 1, 1, 1)


class TestConventionalPareto:
    def test_weights_are_twice_the_min_norm_weights(self):
        weights, _ = ConventionalPareto().weights(gramian((1, 0), (-1, 1)), LOSSES, {})
        assert close(weights, 1.2, 0.8)

    def test_shorter_gradient_takes_all_where_the_angle_is_small(self):
        weights, _ = ConventionalPareto().weights(gramian((1, 0), (3, 1)), LOSSES, {})
        assert close(weights, 2, 0)

    def test_released_solution_stays_off_the_boundary(self):
        weights, _ = ConventionalPareto(least_weight=0.001).weights(gramian((1, 0), (3, 1)), LOSSES, {})
        assert close(weights, 1.998, 0.002)

    def test_released_solution_inside_is_not_moved(self):
        product = gramian((1, 0), (-5000, 1))
        weights, _ = ConventionalPareto(least_weight=0.001).weights(product, LOSSES, {})
        assert weights[1] < 0.001 * 2

    def test_equal_gradients_get_equal_weights(self):
        weights, _ = ConventionalPareto().weights(gramian((1, 2), (1, 2)), LOSSES, {})
        assert close(weights, 1, 1)

    @pytest.mark.parametrize(
        ("normalise", "expected"),
        [
            # (3, 0) and (0, 1): squares 9 and 1, so the weights are as 1 / square after division
            ("none", (0.2, 1.8)),
            ("l2", (1, 1)),
            ("loss", (2 / 3.25, 4.5 / 3.25)),  # (1.5, 0) and (0, 1)
            ("loss+", (1.6, 0.4)),  # (1 / 2, 0) and (0, 1)
        ],
    )
    def test_normalisation_divides_gradients_while_solving(self, normalise, expected):
        method = ConventionalPareto(normalise=normalise)
        weights, _ = method.weights(gramian((3, 0), (0, 1)), numbers(2, 1), {})
        assert close(weights, *expected)

    def test_weights_do_not_change_when_all_gradients_are_scaled(self):
        product = gramian((1, 2, 0), (-1, 1, 3), (0, -2, 1))
        losses = torch.ones(3, dtype=torch.float64)
        weights, _ = ConventionalPareto().weights(product, losses, {})
        for scale in (1e-30, 1e30):
            scaled, _ = ConventionalPareto().weights(product * scale, losses, {})
            assert torch.allclose(scaled, weights, atol=1e-12)


class TestPCGrad:
    def test_conflicting_components_go(self):
        assert close(combined(PCGrad(), (1, 0), (-1, 1)), 0.5, 1.5)

    def test_without_conflict_it_is_the_sum(self):
        assert close(combined(PCGrad(), (1, 0), (1, 1)), 2, 1)

    def test_three_gradients_follow_the_drawn_order(self):
        vectors = ((1.0, 0.0, 0.2), (-1.0, 1.0, 0.0), (-0.5, -1.0, 0.3))
        matrix = torch.tensor(vectors, dtype=torch.float64)
        found = set()
        for first in range(2):
            # Gradient 0 meets (1, 2) or (2, 1); the others keep one order.
            keys = [[0.0, 0.1, 0.2], [0.0, 0.1, 0.2], [0.0, 0.1, 0.2]]
            keys[0] = [0.0, 0.1, 0.2] if first == 0 else [0.0, 0.2, 0.1]
            orders = [[1, 2] if first == 0 else [2, 1], [0, 2], [0, 1]]
            expected = torch.zeros(3, dtype=torch.float64)
            for i, order in enumerate(orders):
                g = matrix[i].clone()
                for j in order:
                    dot = g @ matrix[j]
                    if dot < 0:
                        g = g - dot / (matrix[j] @ matrix[j]) * matrix[j]
                expected += g
            state = {"random": torch.tensor(keys, dtype=torch.float64).flatten()}
            result = combined(PCGrad(), *vectors, state=state)
            assert torch.allclose(result, expected)
            found.add(tuple(result.tolist()))
        assert len(found) == 2

    def test_two_gradients_draw_nothing(self):
        assert PCGrad().random_numbers(2) == 0
        assert PCGrad().random_numbers(3) == 9


class TestMetaBalance:
    def weights(self, norms: tuple[float, float], **settings: object) -> Tensor:
        method = MetaBalance(beta=0.0, **settings)
        product = torch.diag(numbers(*norms).square())[None]
        found, _ = method.weights(product, LOSSES, method.module_state(2, 1))
        return found[0]

    def test_auxiliary_is_brought_towards_the_target(self):
        assert close(self.weights((2, 8), relax=0.7), 1, 0.475)

    def test_strategies_change_one_side_only(self):
        assert close(self.weights((2, 8), strategy="enlarge"), 1, 1)
        assert close(self.weights((8, 2), strategy="reduce"), 1, 1)
        assert close(self.weights((8, 2), relax=0.5, strategy="enlarge"), 1, 2.5)

    def test_moving_norms_decay_by_beta(self):
        method = MetaBalance(beta=0.9, relax=0.7)
        state = method.module_state(2, 1)
        for norms in ((2.0, 8.0), (4.0, 1.0)):
            weights, state = method.weights(torch.diag(numbers(*norms).square())[None], LOSSES, state)
        target, auxiliary = 0.9 * 0.2 + 0.4, 0.9 * 0.8 + 0.1
        assert close(state["norms"][0], target, auxiliary)
        assert close(weights[0], 1, 0.7 * target / auxiliary + 0.3)

    def test_silent_auxiliary_is_left_alone(self):
        assert close(self.weights((2, 0)), 1, 1)


class TestGradNorm:
    def test_targets(self):
        assert close(GradNorm(alpha=1.5).targets(numbers(2, 4), numbers(0.5, 0.8)), 2.023980, 4.096248)

    def test_first_step_uses_equal_weights_and_remembers_the_losses(self):
        method = GradNorm(weight_lr=0.1)
        weights, state = method.weights(torch.diag(numbers(4, 16)), numbers(0.7, 0.9), method.module_state(2, 1))
        assert close(weights, 1, 1)
        assert close(state["initial_losses"], 0.7, 0.9)
        # norms (2, 4), targets (3, 3): the first weight rises by 0.1 * 2, the second falls by 0.1 * 4
        stepped = numbers(1.2, 0.6)
        assert torch.allclose(state["weights"], stepped * 2 / stepped.sum())

    def test_objective_that_learns_slowly_gets_more_weight(self):
        method = GradNorm()
        _, state = method.weights(torch.eye(2, dtype=torch.float64), numbers(1, 1), method.module_state(2, 1))
        for _ in range(5):
            _, state = method.weights(torch.eye(2, dtype=torch.float64), numbers(0.1, 0.9), state)
        assert state["weights"][1] > state["weights"][0]
        assert close(state["weights"].sum(), 2)

    def test_weights_stay_positive(self):
        method = GradNorm(weight_lr=10.0)
        _, state = method.weights(torch.diag(numbers(1, 1e4)), numbers(1, 1), method.module_state(2, 1))
        assert (state["weights"] > 0).all()


class TestOGM:
    def coefficients(self, *scores: float, alpha: float = 0.8) -> Tensor:
        return OGM(alpha=alpha).coefficients(numbers(*scores), {})[0]

    def test_modality_ahead_is_slowed(self):
        assert close(self.coefficients(2, 1), 0.078331, 1)

    def test_coefficient_jumps_where_the_ratio_passes_one(self):
        assert close(self.coefficients(1 + 1e-12, 1), 0.335963, 1)
        assert close(self.coefficients(1, 1), 1, 1)

    def test_no_modality_is_accelerated(self):
        assert self.coefficients(0.3, 0.9, 0.1).max() == 1

    def test_three_modalities_are_each_compared_with_the_mean_of_the_others(self):
        expected = 1 - math.tanh(0.8 * 3 / 1.5)
        assert close(self.coefficients(3, 1, 2), expected, 1, 1)

    def test_perfect_against_hopeless_is_stopped(self):
        assert close(self.coefficients(1, 0), 0, 1)
        assert close(self.coefficients(0, 0), 1, 1)

    def test_window_includes_both_ends(self):
        method = OGM(starts=2, ends=4)
        assert [method.active(epoch) for epoch in range(6)] == [False, False, True, True, True, False]

    def test_enhancement_adds_noise_only(self):
        assert OGMGE().noise
        assert not OGM().noise
        scores = numbers(3, 1)
        assert torch.equal(OGM().coefficients(scores, {})[0], OGMGE().coefficients(scores, {})[0])


class TestMLB:
    def coefficients(self, *scores: float, **settings: object) -> Tensor:
        return MLB(**settings).coefficients(numbers(*scores), {})[0]

    def test_modality_behind_is_accelerated_up_to_beta_max(self):
        assert close(self.coefficients(0.6, 0.3, alpha=0.5, beta_max=10.0), 0.755081, 5.159054)

    def test_released_bounds_acceleration_by_two(self):
        found = self.coefficients(0.6, 0.3, alpha=0.5, beta_max=10.0, bound="two")
        assert close(found, 0.755081, 1.462117)
        assert close(found, *self.coefficients(0.6, 0.3, alpha=0.5, beta_max=2.0).tolist())

    def test_equal_scores_change_nothing(self):
        assert close(self.coefficients(0.4, 0.4, beta_max=20.0), 1, 1)

    def test_sum_and_mean_of_the_batch_give_the_same(self):
        one = self.coefficients(0.6, 0.3)
        assert torch.allclose(one, self.coefficients(0.6 * 32, 0.3 * 32))

    def test_three_modalities_are_each_compared_with_the_mean_of_the_others(self):
        found = self.coefficients(0.6, 0.3, 0.3, alpha=0.5, beta_max=3.0)
        behind = (0.3 / 0.6, 0.45 / 0.3, 0.45 / 0.3)
        expected = [1 + (2 - 1) * math.tanh(0.5 * (behind[0] - 1))]
        expected += [1 + (3 - 1) * math.tanh(0.5 * (r - 1)) for r in behind[1:]]
        assert close(found, *expected)

    def test_no_modality_is_ever_halted(self):
        assert close(self.coefficients(1, 0, alpha=0.8), 1 - math.tanh(0.8), 2)


class TestGBlending:
    def test_weights_follow_gain_over_squared_overfitting(self):
        found = GBlending().weights(numbers(0.5, 0.2, 0.6), numbers(1, 0.5, 1.5))
        assert close(found, 0.319149, 0.510638, 0.170213)

    def test_objective_that_does_not_generalise_gets_none(self):
        assert close(GBlending().weights(numbers(-1, 0.5), numbers(1, 1)), 0, 1)

    def test_weights_are_equal_where_none_generalises(self):
        assert close(GBlending().weights(numbers(-1, -2), numbers(1, 1)), 0.5, 0.5)

    def test_no_overfitting_does_not_explode(self):
        found = GBlending(least_overfitting=0.1).weights(numbers(1, 1), numbers(0, 0.2))
        assert close(found, 0.8, 0.2)

    def test_sign_of_the_overfitting_does_not_count(self):
        assert close(GBlending().weights(numbers(1, 1), numbers(-0.5, 0.5)), 0.5, 0.5)


class TestAGM:
    def state(self, *scores: float) -> dict[str, Tensor]:
        count = torch.ones(len(scores), dtype=torch.float64)
        return {"mean_scores": numbers(*scores), "steps": numbers(4.0)[0], COEFFICIENTS: count}

    def test_coefficients(self):
        state = AGM(alpha=1.5).modulate(numbers(0.5, 1.0), self.state(0.6, 0.9))
        assert close(state[COEFFICIENTS], 0.638717, 1.223152)

    def test_averages_take_the_new_scores_in_afterwards(self):
        state = AGM().modulate(numbers(0.5, 1.0), self.state(0.6, 0.9))
        assert close(state["mean_scores"], (0.6 * 4 + 0.5) / 5, (0.9 * 4 + 1.0) / 5)
        assert close(state["steps"], 5)

    def test_exponent_is_capped(self):
        state = AGM(alpha=1.0, cap=10.0).modulate(numbers(18.0, 0.0), self.state(0.0, 18.0))
        assert close(state[COEFFICIENTS], math.exp(10), 0)

    def test_three_modalities_use_the_mean_of_the_others(self):
        scores = numbers(0.5, 1.0, 0.2)
        state = AGM(alpha=1.0).modulate(scores, self.state(0.6, 0.9, 0.3))
        mean, usual = scores.mean(), numbers(0.6, 0.9, 0.3)
        now = ((mean - scores) * 3 / 2).exp()  # the published form, factor M / (M - 1)
        expected = (((usual.mean() - usual) * 3 / 2).exp() - now).exp()
        assert torch.allclose(state[COEFFICIENTS], expected)

    def test_scores_are_floored(self):
        shares = torch.zeros(2, 1, 2, dtype=torch.float64)
        shares[0, 0, 1] = 1000.0
        found = AGM().scores(shares, torch.tensor([0]))
        assert close(found, -math.log(1e-8), math.log(2))


class TestMSLR:
    def test_coefficient_follows_recent_accuracy(self):
        past = torch.tensor([[0.2, 0.6], [0.4, 0.6]], dtype=torch.float64)
        state = MSLR.dynamic(numbers(0.7, 1.3), numbers(0.6, 0.3), past)
        assert close(state["current"], 0.7 * 2, 1.3 * 0.5)
        assert close(state["accuracies"][1], 0.6, 0.3)
        assert close(state["accuracies"][0], 0.4, 0.6)

    def test_nothing_moves_before_the_memory_is_full(self):
        past = torch.tensor([[math.nan, math.nan], [0.4, 0.6]], dtype=torch.float64)
        assert close(MSLR.dynamic(numbers(0.7, 1.3), numbers(0.6, 0.3), past)["current"], 0.7, 1.3)

    def test_accuracies_of_zero_change_nothing(self):
        past = torch.zeros(2, 2, dtype=torch.float64)
        state = MSLR.dynamic(numbers(0.7, 1.3), numbers(0.0, 0.0), past)
        assert close(state["current"], 0.7, 1.3)


class TestPMR:
    def test_slower_modality_is_pulled_by_how_far_it_is_behind(self):
        assert close(PMR().strengths(numbers(3, 2)), 0, 0.5)
        assert close(PMR().strengths(numbers(2, 2.5)), 0.25, 0)
        assert close(PMR().strengths(numbers(9, 2)), 0, 1)

    def test_released_switches(self):
        assert close(PMR(strength="switch").strengths(numbers(3, 2.9)), 0, 1)
        assert close(PMR(strength="switch").strengths(numbers(2, 2)), 0, 0)

    def test_all_behind_the_best_of_three_are_pulled(self):
        assert close(PMR().strengths(numbers(3, 2, 2.5)), 0, 0.5, 0.2)

    def test_entropy_regularises_the_modality_that_is_not_pulled(self):
        assert close(opposite(numbers(0, 0.5)), 0.5, 0)
        assert close(opposite(numbers(0, 0)), 0, 0)
        assert close(opposite(numbers(0, 0.5, 0.2)), 0.35, 0, 0)

    def test_distances_are_euclidean(self):
        found = log_similarities(numbers(0, 0)[None], torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64))
        expected = torch.tensor([[-5.0, -1.0]], dtype=torch.float64).log_softmax(dim=1)
        assert torch.allclose(found, expected)

    def test_feature_on_its_prototype_has_a_gradient(self):
        feature = torch.zeros(1, 3, requires_grad=True)
        log_similarities(feature, torch.eye(3)[:2] * 0.0)[0, 0].backward()
        assert torch.isfinite(feature.grad).all()


class TestGreedy:
    def start(self) -> dict[str, Tensor]:
        zero = torch.zeros((), dtype=torch.int64)
        return {"bypass": numbers(0, 0), "main": numbers(0, 0), "remaining": zero, "alone": zero}

    def test_modality_that_leans_on_the_other_is_trained_alone(self):
        state = Greedy(window=3).balance(numbers(1, 100), numbers(1, 1), self.start(), unlocked=True)
        assert state["remaining"] == 3
        assert state["alone"] == 1
        state = Greedy(window=3).balance(numbers(100, 1), numbers(1, 1), self.start(), unlocked=True)
        assert state["alone"] == 0

    def test_close_speeds_are_left_alone(self):
        state = Greedy(tolerance=0.01).balance(numbers(1, 1.01), numbers(1, 1), self.start(), unlocked=True)
        assert state["remaining"] == 0

    def test_nothing_starts_before_its_epoch_but_speeds_count(self):
        state = Greedy().balance(numbers(1, 100), numbers(1, 1), self.start(), unlocked=False)
        assert state["remaining"] == 0
        assert close(state["bypass"], 1, 100)

    def test_window_runs_out_and_speeds_are_not_added_meanwhile(self):
        method, state = Greedy(window=2), self.start()
        state = method.balance(numbers(1, 100), numbers(1, 1), state, unlocked=True)
        for left in (1, 0):
            state = method.balance(numbers(7, 7), numbers(7, 7), state, unlocked=True)
            assert state["remaining"] == left
        assert close(state["bypass"], 1, 100)

    def test_nothing_learnt_yet_is_no_difference(self):
        state = Greedy().balance(numbers(0, 0), numbers(0, 0), self.start(), unlocked=True)
        assert state["remaining"] == 0


class TestRatio:
    def test_zero_over_zero_is_what_is_said(self):
        assert close(ratio(numbers(0, 1, 3), numbers(0, 2, 1)), 1, 0.5, 3)

    def test_something_over_zero_is_large_but_finite(self):
        assert torch.isfinite(ratio(numbers(1), numbers(0))).all()
        assert ratio(torch.ones(1), torch.zeros(1)) > 1e30

    def test_mean_of_others(self):
        assert close(mean_of_others(numbers(1, 2, 6)), 4, 3.5, 1.5)
        assert close(mean_of_others(numbers(1e15, 1e-15)), 1e-15, 1e15, tolerance=1)
