from __future__ import annotations

import pytest

from tvm_gnn_cost import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.networks.inputs import DeclaredInput, GivenInput, InputSpec, parse_input, resolve_inputs


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("x=1,3,224,224:float32", GivenInput("x", (1, 3, 224, 224), "float32")),
        ("1,3,224,224", GivenInput(None, (1, 3, 224, 224))),
        ("1x3x8", GivenInput(None, (1, 3, 8))),
        ("input.1=8:int64", GivenInput("input.1", (8,), "int64")),
        ("serving:x=(2,4)", GivenInput("serving:x", (2, 4))),
        ("step=scalar:int32", GivenInput("step", (), "int32")),
    ],
)
def test_an_input_is_given_by_name_shape_and_type(text: str, given: GivenInput) -> None:
    assert parse_input(text) == given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "an input is like x=1,3,224,224"),
        ("x=", "an input is like"),
        ("x=1,-3", "an input is like"),
        ("x=1,?", "an input is like"),
        ("x=1,0,3", "extents are at least 1"),
        ("x=1,3:float31", "an element type is one of float32"),
    ],
)
def test_a_wrong_input_says_what_it_is_like(text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        parse_input(text)


IMAGE = DeclaredInput("image", (None, 3, None, None), "float32")
MASK = DeclaredInput("mask", (1, 8), "bool")


def test_what_the_file_leaves_open_is_given() -> None:
    found = resolve_inputs("net.onnx", [IMAGE, MASK], [GivenInput("image", (2, 3, 8, 9))])
    assert found == (InputSpec("image", (2, 3, 8, 9), "float32"), InputSpec("mask", (1, 8), "bool"))
    assert str(found[0]) == "image=2,3,8,9:float32"
    assert resolve_inputs("net.pt", [DeclaredInput("x")], [GivenInput(None, (1, 8))]) == (InputSpec("x", (1, 8)),)


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ([IMAGE], [], r"net: the shape of input 'image' is not known \(image=\?,3,\?,\?\).*image=1,3,1,1:float32"),
        ([IMAGE, DeclaredInput("n")], [], "inputs 'image', 'n' is not known"),
        ([IMAGE], [GivenInput("imgae", (1, 3, 8, 8))], "no input 'imgae' .*did you mean image"),
        ([IMAGE], [GivenInput("image", (1, 4, 8, 8))], r"has the shape \?,3,\?,\?, and `inputs` gives 1,4,8,8"),
        ([IMAGE], [GivenInput("image", (1, 3, 8))], "has the shape"),
        ([IMAGE], [GivenInput("image", (1, 3, 8, 8), "int8")], "is float32, and `inputs` gives int8"),
        ([MASK], [GivenInput("mask", (2, 8))], "has the shape 1,8"),
        ([IMAGE, MASK], [GivenInput(None, (1, 3, 8, 8))], "has the inputs image, mask: `inputs` says which"),
        ([IMAGE], [GivenInput("image", (1, 3, 8, 8))] * 2, "gives input 'image' of net twice"),
    ],
)
def test_what_does_not_fit_names_the_input(
    declared: list[DeclaredInput], given: list[GivenInput], message: str
) -> None:
    with pytest.raises(WorkloadError, match=message):
        resolve_inputs("net", declared, given)
