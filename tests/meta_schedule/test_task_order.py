from __future__ import annotations

from tvm_gnn_cost.meta_schedule.task_order import GradientOrder


def test_each_task_gets_a_round_first_then_the_one_from_which_most_is_to_be_gained() -> None:
    order = GradientOrder([1.0, 1.0, 4.0])
    for task, latency in ((0, 8.0), (1, 2.0), (2, 1.0)):
        assert order.choose([0, 1, 2]) == task
        order.add_round(task, latency)
    assert order.choose([0, 1, 2]) == 0  # 8 s, one round
    assert order.choose([1, 2]) == 2  # 1 s four times
    for _ in range(6):
        order.add_round(0, 8.0)
    assert order.choose([0, 1, 2]) == 2, "seven rounds without a gain"


def test_what_was_gained_lately_counts() -> None:
    order = GradientOrder([1.0, 1.0])
    for first, second in ((10.0, 4.0), (8.0, 4.0), (6.0, 4.0), (4.0, 4.0)):
        order.add_round(0, first)
        order.add_round(1, second)
    assert order.choose([0, 1]) == 0  # 0.2 * 6 / 3 + 0.8 * 4 / 4 against 0.8 * 4 / 4


def test_a_task_of_which_nothing_has_run_goes_on() -> None:
    order = GradientOrder([1.0, 100.0])
    order.add_round(0, None)
    order.add_round(1, 1.0)
    assert order.choose([0, 1]) == 0
    order.add_round(0, 5.0)
    assert order.choose([0, 1]) == 1
