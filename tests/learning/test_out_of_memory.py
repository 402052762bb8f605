"""Which errors of torch mean that memory ran out; every other one is a fault that must not be hidden."""

from __future__ import annotations

import pytest
import torch

from tvm_gnn_cost.learning.out_of_memory import is_out_of_memory


def error_of(*shape: int) -> BaseException:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(shape)
    return caught.value


def test_an_allocation_that_cannot_be_made() -> None:
    assert is_out_of_memory(error_of(2**58))


def test_python_and_the_gpu() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))


def test_another_error_of_torch_is_none() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(3, 4) @ torch.zeros(3, 4)
    assert not is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("the layout of memory differs"))
