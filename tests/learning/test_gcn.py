"""The network: read-out, symmetry, initialisation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.learning import StageGCN
from tvm_gnn_cost.learning.networks.families import NETWORKS
from tvm_gnn_cost.learning.networks.stage_network import StageNetwork
from tvm_gnn_cost.testing.toy_graphs import EDGE_DIM, NODE_DIM, one_graph, random_graphs


def run(model: StageNetwork, graphs: StageGraphBatch) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return model(*model_arguments(graphs))


def model_arguments(graphs: StageGraphBatch) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    return (
        torch.from_numpy(graphs.node_features),
        torch.from_numpy(graphs.edge_index),
        torch.from_numpy(graphs.edge_features),
        torch.from_numpy(graphs.node_graph),
        len(graphs),
    )


class SumOfProducers(nn.Module):
    """A convolution that can be checked by hand."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])


class HandGCN(StageGCN):
    def init_conv(self, in_channels: int, out_channels: int) -> nn.Module:
        return SumOfProducers()


class OneTime(nn.Module):
    """A last layer that passes the sum of the hidden values on as the logarithm of the time."""

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.exp2(hidden.sum(dim=1))


def test_three_nodes_by_hand() -> None:
    model = HandGCN(1, 1, hidden_dim=1, num_layers=1)
    model.node_encoder = nn.Identity()
    model.edge_encoder = nn.Identity()
    model.norms = nn.ModuleList([nn.Identity()])
    model.head = OneTime()
    model.reading_head = OneTime()
    with torch.no_grad():
        model.edge_to_consumer.weight.fill_(2.0)
        model.edge_to_producer.weight.fill_(10.0)
        model.reading_producer.weight.copy_(torch.tensor([[3.0, 0.0]]))  # of the two blocks it sees the first
        model.reading_consumer.weight.copy_(torch.tensor([[0.0, 0.5]]))  # and the second
        model.reading_consumer.bias.fill_(0.25)
        score, time_shares = model(
            torch.tensor([[1.0], [2.0], [3.0]]),
            torch.tensor([[0, 1], [1, 2]]),
            torch.tensor([[0.1], [0.2]]),
            torch.tensor([0, 0, 0]),
            1,
        )
    silu = nn.functional.silu
    e = silu(torch.tensor([0.1, 0.2]))
    x = torch.stack([1.0 + 10 * e[0], 2.0 + 2 * e[0] + 10 * e[1], 3.0 + 2 * e[1]])
    y = x + silu(torch.stack([x[1], x[0] + x[2], x[1]]))  # messages from producers and from consumers
    times = torch.exp2(x + y)
    times[1] += torch.exp2(0.1 + 3 * x[0] + 0.5 * y[1] + 0.25)  # what reading takes counts for the reader
    times[2] += torch.exp2(0.2 + 3 * x[1] + 0.5 * y[2] + 0.25)
    torch.testing.assert_close(time_shares, times / times.sum())
    torch.testing.assert_close(score, -torch.log2(times.sum())[None])


@pytest.mark.parametrize("num_layers", [0, 1, 3])
@pytest.mark.parametrize("family", NETWORKS.values())
def test_score_is_the_throughput_of_the_summed_times(num_layers: int, family: type[StageNetwork]) -> None:
    graphs = random_graphs(20)
    model = family(NODE_DIM, EDGE_DIM, 16, num_layers)
    score, time_shares = run(model, graphs)
    assert score.shape == (20,) and time_shares.shape == (len(graphs.node_features),)
    with torch.inference_mode():
        times = model.stage_times(*model_arguments(graphs))
    assert (times > 0).all()
    for i in range(20):
        nodes = slice(int(graphs.node_ptr[i]), int(graphs.node_ptr[i + 1]))
        torch.testing.assert_close(score[i], -torch.log2(times[nodes].sum()))
        torch.testing.assert_close(time_shares[nodes], times[nodes] / times[nodes].sum())


@pytest.mark.parametrize(
    "graph", [one_graph(1, []), one_graph(3, []), one_graph(3, [(0, 1), (1, 2)]), one_graph(40, [(0, 39)])]
)
def test_small_and_large_graphs(graph: StageGraphBatch) -> None:
    score, _ = run(StageGCN(NODE_DIM, EDGE_DIM, 16, 2), graph)
    assert score.shape == (1,) and torch.isfinite(score).all()


@pytest.mark.parametrize("family", NETWORKS.values())
def test_graphs_do_not_see_each_other(family: type[StageNetwork]) -> None:
    graphs = random_graphs(30)
    model = family(NODE_DIM, EDGE_DIM, 16, 2)
    together, _ = run(model, graphs)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    shuffled, _ = run(model, graphs.select(order.numpy()))
    torch.testing.assert_close(shuffled, together[order])
    alone, _ = run(model, graphs.select([7]))
    torch.testing.assert_close(alone[0], together[7])


def test_direction_and_edge_features_matter() -> None:
    graph = one_graph(3, [(0, 1), (1, 2)])
    model = StageGCN(NODE_DIM, EDGE_DIM, 16, 2)
    base, _ = run(model, graph)
    turned = StageGraphBatch(
        graph.node_features, graph.edge_index[::-1].copy(), graph.edge_features, graph.node_ptr, graph.edge_ptr
    )
    assert not torch.allclose(run(model, turned)[0], base)
    other = StageGraphBatch(
        graph.node_features, graph.edge_index, graph.edge_features + 1, graph.node_ptr, graph.edge_ptr
    )
    assert not torch.allclose(run(model, other)[0], base)


def test_initialisation_has_its_own_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = StageGCN(NODE_DIM, EDGE_DIM, 8, 2, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = StageGCN(NODE_DIM, EDGE_DIM, 8, 2, seed=3), StageGCN(NODE_DIM, EDGE_DIM, 8, 2, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    other.reset_parameters(3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_repr_and_bad_arguments() -> None:
    assert repr(StageGCN(4, 2, 8, 1)) == "StageGCN(node_dim=4, edge_dim=2, hidden_dim=8, num_layers=1)"
    with pytest.raises(InvalidArgumentError, match="node_dim"):
        StageGCN(0, 2)
