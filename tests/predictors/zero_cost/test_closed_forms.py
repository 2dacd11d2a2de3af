"""Each proxy against numbers worked out another way."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.predictors.zero_cost.fisher import Fisher
from raynas.predictors.zero_cost.flops import Flops
from raynas.predictors.zero_cost.grad_norm import GradNorm
from raynas.predictors.zero_cost.grasp import Grasp
from raynas.predictors.zero_cost.jacov import Jacov, K
from raynas.predictors.zero_cost.l2_norm import L2Norm
from raynas.predictors.zero_cost.nwot import Nwot, log_determinant
from raynas.predictors.zero_cost.params import Params
from raynas.predictors.zero_cost.plain import Plain
from raynas.predictors.zero_cost.snip import Snip
from raynas.predictors.zero_cost.synflow import Synflow
from raynas.predictors.zero_cost.zen import Zen, features
from raynas.supernets.cost import count_flops


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def score(proxy, network, batch, seed=0):
    return proxy.score(network, *batch, generator=seeded(seed))


def drawn(network, seed=0):
    """The network with weights from N(0, 1), in double precision."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.normal_(generator=generator)
    return network


def chain(*widths, norm=False):
    """Convolutions, then a classifier; no biases."""
    layers = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers += [nn.ReLU()]
    return drawn(
        nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(*widths[-2:], bias=False))
    )


def two_layers():
    """A convolution and a classifier, with biases."""
    return drawn(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 8)))


@pytest.fixture
def doubles(batch):
    return batch[0].double(), batch[1]


def weights_and_gradients(network, batch):
    functional.cross_entropy(network(batch[0]), batch[1]).backward()
    return [(p.detach(), p.grad) for name, p in network.named_parameters() if name.endswith("weight")]


# Size


@pytest.mark.parametrize("channels", [1, 8, 21])
def test_params_of_a_pointwise_convolution_are_its_channels_squared(channels, batch):
    network = nn.Conv2d(channels, channels, 1, bias=False)
    assert score(Params(), network, batch) == channels**2 / 1e6


def test_flops_are_those_of_one_image_in_millions(make, batch):
    network = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.Flatten(), nn.Linear(5 * 64, 7))
    assert score(Flops(), network, batch) == (9 * 5 * 64 + 5 * 64 * 7) / 1e6
    assert score(Flops(), make(), batch) == count_flops(make(), (1, 8, 8)) / 1e6


def test_l2_norm_is_the_sum_over_layers_without_biases(batch):
    network = two_layers()
    norms = [float(np.linalg.norm(network[place].weight.detach().numpy().ravel())) for place in (0, 3)]
    assert score(L2Norm(), network, batch) == pytest.approx(sum(norms))


# Gradients


def test_snip_and_plain_and_grad_norm_are_those_of_plain_autograd(doubles):
    pairs = weights_and_gradients(two_layers(), doubles)
    snip, plain, norm = (score(proxy, two_layers(), doubles) for proxy in (Snip(), Plain(), GradNorm()))
    assert snip == pytest.approx(sum(float((w * g).abs().sum()) for w, g in pairs))
    assert plain == pytest.approx(sum(float((w * g).sum()) for w, g in pairs))
    assert norm == pytest.approx(sum(float(g.norm()) for _, g in pairs))
    assert snip >= abs(plain)


def test_snip_is_how_fast_the_loss_changes_with_a_mask_on_each_weight(doubles):
    network, images, labels = chain(1, 2, 8), *doubles
    parameters, epsilon, total = dict(network.named_parameters()), 1e-6, 0.0
    for name, parameter in parameters.items():
        for place in range(parameter.numel()):
            losses = []
            for by in (1 + epsilon, 1 - epsilon):
                mask = torch.ones(parameter.numel(), dtype=torch.float64)
                mask[place] = by
                masked = parameters | {name: parameter * mask.view_as(parameter)}
                logits = torch.func.functional_call(network, masked, (images,))
                losses.append(float(functional.cross_entropy(logits, labels).detach()))
            total += abs(losses[0] - losses[1]) / (2 * epsilon)
    assert score(Snip(), network, doubles) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("proxy", "power"), [(Snip(), 1), (Plain(), 1), (GradNorm(), 1), (Grasp(), 2)])
def test_a_loss_scaled_by_c_scales_the_score_by_a_power_of_it(proxy, power, doubles):
    network = two_layers()
    weights = [network[0].weight, network[3].weight]

    def found(c):
        return proxy.of_loss(c * functional.cross_entropy(network(doubles[0]), doubles[1]), weights).item()

    assert found(3.0) == pytest.approx(3.0**power * found(1.0))


def test_a_loss_scaled_by_c_scales_fisher_by_its_square(doubles):
    network = two_layers()

    def found(c):
        hidden = network[0](doubles[0])
        logits = network[3](network[1:3](hidden))
        loss = c * functional.cross_entropy(logits, doubles[1])
        return float(Fisher().of_loss(loss, [(network[0], hidden), (network[3], logits)]))

    assert found(3.0) == pytest.approx(9.0 * found(1.0))
    assert found(1.0) == pytest.approx(score(Fisher(), network, doubles))


def test_fisher_of_a_linear_layer_is_that_of_the_softmax_by_hand(doubles):
    network = drawn(nn.Sequential(nn.Flatten(), nn.Linear(64, 8)))
    with torch.no_grad():
        logits = network(doubles[0])
        slopes = (logits.softmax(1) - torch.eye(8)) / 8  # of the mean cross-entropy of labels 0 to 7
        expected = 64 * float(((logits * slopes) ** 2).mean(0).sum()) / 2
    assert score(Fisher(), network, doubles) == pytest.approx(expected)


def test_fisher_sums_a_channel_over_the_image_before_it_is_squared(doubles):
    network, images, labels = chain(1, 3, 8), *doubles
    hidden = network[0](images)
    hidden.retain_grad()
    logits = network[1:](hidden)
    logits.retain_grad()
    functional.cross_entropy(logits, labels).backward()
    expected = 0.0
    for n_weights, output in ((9, hidden), (3, logits)):
        for channel in range(output.shape[1]):
            product = (output.detach() * output.grad)[:, channel]
            by_image = [float(of_image.sum()) for of_image in product]
            expected += n_weights * 0.5 * float(np.mean(np.square(by_image)))
    assert score(Fisher(), network, doubles) == pytest.approx(expected)


def test_grasp_of_a_quadratic_is_minus_the_square_of_its_gradient():
    matrix = torch.randn(5, 5, generator=seeded(), dtype=torch.float64)
    matrix = matrix + matrix.T
    w = torch.randn(5, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    expected = -(w @ matrix @ matrix @ w).item()
    # In two pieces, which the Hessian couples.
    assert Grasp().of_loss(w @ matrix @ w / 2, [w]).item() == pytest.approx(expected)
    a, b = (piece.detach().requires_grad_() for piece in (w[:2], w[2:]))
    both = torch.cat([a, b])
    assert Grasp().of_loss(both @ matrix @ both / 2, [a, b]).item() == pytest.approx(expected)


def test_grasp_of_a_network_is_that_of_finite_differences(doubles):
    network = chain(1, 3, 8, norm=True)
    weights = [network[0].weight, network[5].weight]
    still = [weight.detach().clone() for weight in weights]

    def gradients(shifts, epsilon):
        with torch.no_grad():
            for weight, value, shift in zip(weights, still, shifts, strict=True):
                weight.copy_(value + epsilon * shift)
        loss = functional.cross_entropy(network(doubles[0]), doubles[1])
        return torch.autograd.grad(loss, weights)

    g = gradients(still, 0.0)
    up, down = gradients(g, 1e-5), gradients(g, -1e-5)
    products = [float((w * (a - b)).sum()) for w, a, b in zip(still, up, down, strict=True)]
    assert score(Grasp(), chain(1, 3, 8, norm=True), doubles) == pytest.approx(
        -sum(products) / 2e-5, rel=1e-4
    )


def test_a_network_without_layers_that_count_is_refused(batch):
    with pytest.raises(InputError, match="Flatten: a zero-cost proxy scores layers of the types Conv2d"):
        score(L2Norm(), nn.Flatten(), batch)


# Synaptic flow


@pytest.mark.parametrize("widths", [(1, 8), (1, 5, 8), (1, 2, 7, 3, 8)])
def test_synflow_flows_alike_through_every_layer_of_a_chain(widths, batch):
    network = chain(*widths)
    sums = [float(one.detach()) for one in Synflow().layer_sums(network, batch[0])]
    absolute = chain(*widths)
    with torch.no_grad():
        for parameter in absolute.parameters():
            parameter.abs_()
        total = float(absolute(torch.ones(1, 1, 8, 8, dtype=torch.float64)).sum())
    n_layers = len(widths) - 1
    assert sums == pytest.approx([total] * n_layers)
    assert score(Synflow(), network, batch) == pytest.approx(math.log(n_layers * total))


def test_synflow_of_a_scalar_chain_is_the_product_of_its_weights():
    values = (2.0, -0.5, 3.0, -7.0)
    network = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in values))
    with torch.no_grad():
        for layer, value in zip(network, values, strict=True):
            layer.weight.fill_(value)
    batch = torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)
    assert score(Synflow(), network, batch) == pytest.approx(math.log(4 * 21.0))


@pytest.mark.parametrize("place", [0, 2, 6])
def test_synflow_grows_with_the_logarithm_of_a_layers_scale(place, batch):
    network = chain(1, 2, 3, 8)
    before = score(Synflow(), network, batch)
    with torch.no_grad():
        network[place].weight *= 5.0
    assert score(Synflow(), network, batch) == pytest.approx(before + math.log(5.0))


def test_synflow_does_not_see_batch_norms(batch):
    plain, normed = chain(1, 2, 3, 8), chain(1, 2, 3, 8, norm=True)
    with torch.no_grad():
        for ours, theirs in ((0, 0), (2, 3), (6, 8)):
            normed[theirs].weight.copy_(plain[ours].weight)
    assert score(Synflow(), normed, batch) == score(Synflow(), plain, batch)


def test_synflow_of_a_deep_network_does_not_overflow(make, batch):
    assert score(Synflow(), make(channels=16, cells=5, stages=3), batch) > 88  # float32 ends at e**88.7


# Jacobians


def of_eigenvalues(*values):
    return -sum(math.log(value + K) + 1 / (value + K) for value in values)


def test_jacov_of_orthogonal_jacobians_is_its_greatest():
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    rows = torch.kron(two, torch.kron(two, two))[1:]  # those of a Hadamard matrix whose mean is 0
    assert Jacov().of_jacobians(rows) == pytest.approx(of_eigenvalues(*[1.0] * 7))


def test_jacov_falls_far_with_every_duplicate(make, batch):
    row = torch.randn(20, generator=seeded())
    assert Jacov().of_jacobians(torch.stack([row, row])) == pytest.approx(of_eigenvalues(2.0, 0.0), rel=1e-6)
    images, labels = batch
    images = torch.cat([images[:6], images[:2]])
    assert -2.1e5 < score(Jacov(), make(), (images, labels)) < -1.9e5


def test_jacov_of_a_linear_network_is_that_of_images_all_alike(doubles):
    """Every image has the same Jacobian: correlations of 1, whose eigenvalues are n and n - 1 zeros."""
    network = drawn(nn.Sequential(nn.Flatten(), nn.Linear(64, 8)))
    expected = of_eigenvalues(8.0, *[0.0] * 7)
    assert score(Jacov(), network, doubles) == pytest.approx(expected, rel=1e-6)


def test_jacov_is_that_of_jacobians_one_by_one(doubles):
    network, images = two_layers(), doubles[0]
    rows = [torch.autograd.functional.jacobian(lambda x: network(x).sum(), image[None]) for image in images]
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(torch.cat(rows).flatten(1).numpy()))
    assert score(Jacov(), network, doubles) == pytest.approx(of_eigenvalues(*eigenvalues), rel=1e-6)


# ReLUs


def relus_of(*patterns):
    """A network, and images whose ReLUs are on where a pattern has a 1."""
    network = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(len(patterns[0]), 2))
    images = torch.tensor([[1.0 if unit == "1" else -1.0 for unit in one] for one in patterns])
    return network, (images, torch.zeros(len(patterns), dtype=torch.int64))


@pytest.mark.parametrize(
    ("first", "second"), [("1100", "1111"), ("1010", "0101"), ("11111", "11110"), ("0000", "0001")]
)
def test_nwot_of_two_images_that_agree_on_p_of_n_units(first, second):
    network, batch = relus_of(first, second)
    n, p = len(first), sum(a == b for a, b in zip(first, second, strict=True))
    assert score(Nwot(), network, batch) == pytest.approx(math.log(n**2 - p**2))


def test_nwot_of_an_image_alone_is_the_number_of_its_units():
    network, batch = relus_of("10110")
    assert score(Nwot(), network, batch) == pytest.approx(math.log(5))


def test_nwot_of_images_that_agree_on_everything_is_below_all_others():
    network, batch = relus_of("10110", "01100", "10110", "11111", "00010")
    assert score(Nwot(), network, batch) == -1e8
    # What an elimination makes of it in floating point is not asked.
    assert log_determinant(torch.full((3, 3), 1e7 / 3, dtype=torch.float64)) == -math.inf


def test_nwots_kernel_counts_agreements_over_all_relus(make, batch):
    network = make().train()
    kernel, found = Nwot().kernel(network, batch[0]).numpy(), score(Nwot(), network, batch)
    expected = np.zeros((8, 8))

    def see(module, inputs):
        on = (inputs[0] > 0).flatten(1).double().numpy()
        expected[:] += on @ on.T + (1 - on) @ (1 - on).T

    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(see)
    network(batch[0])
    np.testing.assert_array_equal(kernel, expected)
    n_units = 6 * 4 * 64 + (4 * 64 + 8 * 16) + 6 * 8 * 16 + 8 * 16  # cell, reduction, cell, head
    np.testing.assert_array_equal(np.diag(kernel), n_units)
    assert found == pytest.approx(np.linalg.slogdet(expected)[1])


def test_nwot_refuses_a_network_whose_relus_it_cannot_see(batch):
    with pytest.raises(InputError, match=r"nwot looks at modules of the type nn\.ReLU, and there is none"):
        score(Nwot(), nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), batch)


# Zen


def test_zen_of_a_linear_network_grows_with_the_logarithm_of_the_change(doubles):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    found = [score(Zen(gamma=gamma), network.double(), doubles) for gamma in (0.01, 0.08)]
    assert found[1] - found[0] == pytest.approx(math.log(8))


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_zen_is_the_change_of_features_and_what_the_norms_took_out(momentum, doubles):
    network, generator = chain(1, 4, 8, norm=True), seeded(7)
    expected = []
    for _ in range(3):
        kernel, _ = (torch.randn(*shape, generator=generator).double() for shape in ((4, 1, 3, 3), (8, 4)))
        x, noise = (torch.randn(8, 1, 8, 8, generator=generator).double() for _ in range(2))
        outputs, running = [], torch.ones(4, dtype=torch.float64)
        for given in (x, x + 0.01 * noise):
            mixed = functional.conv2d(given, kernel, padding=1)
            centred = mixed - mixed.mean((0, 2, 3), keepdim=True)
            outputs.append((centred / (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()).relu())
            running = (1 - momentum) * running + momentum * mixed.var((0, 2, 3))
        change = (outputs[0] - outputs[1]).abs().sum((1, 2, 3)).mean()
        expected.append(float(change.log() + running.mean().log() / 2))
    zen = Zen(repeats=3, momentum=momentum)
    assert score(zen, network, doubles, seed=7) == pytest.approx(np.mean(expected))


def test_zens_features_are_what_the_global_pool_is_given(make, batch):
    network = make().eval()
    with torch.no_grad():
        body = network.head[:2](network.body(network.stem(batch[0])))
        torch.testing.assert_close(features(network, batch[0]), body, rtol=0, atol=0)
        convolutions = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
        headed = nn.Sequential(convolutions, nn.Flatten(), nn.Linear(108, 8))
        assert torch.equal(features(headed, batch[0]), convolutions(batch[0]))
        given = torch.randn(2, 3, 6, 6, generator=seeded())
        assert torch.equal(features(headed[1:], given), headed[1:](given))
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("options", "field"),
    [({"gamma": 0.0}, "gamma"), ({"repeats": 0}, "repeats"), ({"momentum": 0.0}, "momentum")],
)
def test_zen_refuses_what_it_cannot_do(options, field):
    with pytest.raises(ValueError, match=f"{field}: 0"):
        Zen(**options)
