"""When a pass is captured, what its graph leaves behind, and what happens where one cannot be captured."""

from __future__ import annotations

import logging

import pytest
import torch
from capturing import Capturer

from raynas.differentiable.cuda_graphs import cuda_graphs
from raynas.differentiable.graphs import Graphs, Pass

torch.set_num_threads(1)


class Network:
    """Three times its input plus a weight, with a count of its passes on the device and one in Python."""

    def __init__(self):
        self.weight, self.passes, self.calls = torch.ones(2), torch.zeros(()), 0

    def __call__(self, inputs):
        self.calls += 1
        self.passes += 1
        return [3 * inputs[0] + self.weight, inputs[0].sum()]

    def of(self, *inputs, key=None, role="step", work=None):
        return Pass(role, key, inputs, work or self, lambda: [self.passes])


def taken(graphs, due, times=1):
    """What the graphs give, one after another."""
    return [graphs.outputs(due) for _ in range(times)]


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def capturer():
    return Capturer()


def graphed(capturer, network, *numbers):
    """Graphs that have captured the network's pass."""
    graphs = Graphs(capturer)
    taken(graphs, network.of(torch.tensor(numbers or (0.0, 0.0))), 4)
    assert len(capturer.graphs) == 1
    return graphs


def test_a_pass_is_captured_when_it_was_met_three_times_in_succession_and_comes_again(capturer, network):
    graphs = Graphs(capturer)
    assert taken(graphs, network.of(torch.zeros(2)), 3) == [None] * 3
    assert not capturer.graphs
    (first, total), _ = taken(graphs, network.of(torch.tensor([1.0, 2.0])), 2)
    assert first.tolist() == [4.0, 7.0]
    assert total.item() == 3.0
    assert network.calls == capturer.warmed + 1 == 4, "Python runs to warm up and to be captured, and no more"


def test_warm_up_and_capture_leave_no_trace(capturer, network):
    state = torch.get_rng_state()
    graphs = graphed(capturer, network)
    assert network.passes == 1, "that of the one replay"
    taken(graphs, network.of(torch.ones(2)), 2)
    assert network.passes == 3
    assert torch.equal(torch.get_rng_state(), state)


def test_what_was_handed_out_is_not_overwritten_by_the_next_replay(capturer, network):
    graphs = graphed(capturer, network)
    given = [torch.full((2,), float(number)) for number in range(4)]
    found = [graphs.outputs(network.of(tensor))[0] for tensor in given]
    assert [tensor.tolist() for tensor in found] == [[3.0 * n + 1] * 2 for n in range(4)]
    assert [tensor.tolist() for tensor in given] == [[float(n)] * 2 for n in range(4)]


def test_a_replay_reads_the_weights_as_they_are_by_then(capturer, network):
    graphs = graphed(capturer, network)
    network.weight.fill_(10.0)
    assert graphs.outputs(network.of(torch.zeros(2)))[0].tolist() == [10.0, 10.0]


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": [torch.zeros(3)]},
        {"inputs": [torch.zeros(2, dtype=torch.float64)]},
        {"inputs": [torch.zeros(2, requires_grad=True)]},
        {"key": "other"},
    ],
    ids=["shape", "format", "differentiable", "key"],
)
def test_a_pass_of_another_kind_in_between_is_left_as_it_is_and_the_graph_kept(capturer, network, other):
    """As the smaller last batch of every epoch."""
    graphs = graphed(capturer, network)
    inputs, key = other.get("inputs", [torch.zeros(2)]), other.get("key")
    for _ in range(10):
        assert graphs.outputs(network.of(*inputs, key=key)) is None
        assert graphs.outputs(network.of(torch.zeros(2))) is not None
    assert len(capturer.alive()) == 1


def test_passes_in_turn_are_never_captured(capturer, network):
    graphs = Graphs(capturer)
    for number in range(20):
        assert graphs.outputs(network.of(torch.zeros(2), key=number % 2)) is None
    assert not capturer.graphs


def test_of_each_role_one_graph_is_kept(capturer, network):
    graphs = graphed(capturer, network)
    taken(graphs, network.of(torch.zeros(2), role="another"), 4)
    assert len(capturer.alive()) == 2
    taken(graphs, network.of(torch.zeros(2), key="new"), 4)
    assert [graph.dropped for graph in capturer.graphs] == [True, False, False]


def test_what_is_forgotten_is_captured_anew(capturer, network):
    graphs = graphed(capturer, network)
    graphs.forget()
    assert not capturer.alive()
    network.weight = torch.full((2,), 5.0)
    *_, (found, _) = taken(graphs, network.of(torch.zeros(2)), 4)
    assert found.tolist() == [5.0, 5.0]
    assert len(capturer.alive()) == 1


def reading(network):
    """The network's pass with a look at a number, which a GPU would have to be waited for."""

    def work(inputs):
        outputs = network(inputs)
        return outputs if outputs[1].item() > -1 else []

    return work


def drawing(network):
    return lambda inputs: [tensor + torch.rand(()) for tensor in network(inputs)]


def failing(network):
    def work(inputs):
        network(inputs)
        raise torch.OutOfMemoryError("CUDA out of memory\nand much more")

    return work


@pytest.mark.parametrize(
    ("work_of", "reason"),
    [
        (reading, "RuntimeError: operation not permitted when stream is capturing: _local_scalar_dense"),
        (drawing, "RuntimeError: it draws at random"),
        (failing, "OutOfMemoryError: CUDA out of memory)"),
    ],
)
def test_where_a_pass_cannot_be_captured_it_is_said_once_and_nothing_is_lost(
    capturer, network, caplog, work_of, reason
):
    graphs, state = graphed(capturer, network), torch.get_rng_state()
    due = network.of(torch.zeros(2), role="w-step", work=work_of(network))
    with caplog.at_level(logging.WARNING):
        assert taken(graphs, due, 10) == [None] * 10
        assert taken(graphs, network.of(torch.zeros(2)), 10) == [None] * 10
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("cuda_graphs: a pass of the w-step cannot be captured (")
    assert reason in message
    assert network.passes == 1, "that of the replay before"
    assert torch.equal(torch.get_rng_state(), state)
    assert not capturer.alive()


def test_there_are_no_cuda_graphs_on_a_cpu():
    assert cuda_graphs("cpu") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("work_of", [reading, failing])
def test_on_a_gpu_a_capture_that_fails_leaves_the_gpu_usable(network, caplog, work_of):
    network.weight, network.passes = network.weight.cuda(), network.passes.cuda()
    graphs, zeros = Graphs(cuda_graphs("cuda")), torch.zeros(2, device="cuda")
    stream = torch.cuda.current_stream()
    with caplog.at_level(logging.WARNING):
        assert taken(graphs, network.of(zeros, work=work_of(network)), 5) == [None] * 5
    assert len(caplog.records) == 1
    assert torch.cuda.current_stream() == stream
    assert network.passes == 0
    assert network([torch.ones(2, device="cuda")])[0].tolist() == [4.0, 4.0]
    torch.rand(2, device="cuda")
    torch.cuda.synchronize()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_replay_does_what_the_pass_does(network):
    network.weight, network.passes = network.weight.cuda(), network.passes.cuda()
    graphs = Graphs(cuda_graphs("cuda"))
    for _ in range(2):  # what was forgotten is captured anew
        for role in ("one", "other"):
            found = [
                graphs.outputs(network.of(torch.full((2,), float(n), device="cuda"), role=role))
                for n in range(6)
            ]
            assert found[:3] == [None] * 3
            assert [outputs[0].tolist() for outputs in found[3:]] == [[3.0 * n + 1] * 2 for n in range(3, 6)]
        graphs.forget()
    assert network.passes == 12
