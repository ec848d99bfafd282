"""Graphs as TensorFlow's messages have them, made of plain objects."""

from types import SimpleNamespace as Message

import pytest

from app.errors import CorruptVersion
from app.models.graph_check import ALLOWED_OPS, RESTORE_OPS, SAVE_OPS, check_graph


def node(name, op, *inputs, calls=()):
    def function(called):
        return Message(func=Message(name=called), list=Message(func=[]))

    return Message(name=name, op=op, input=list(inputs), attr={f"f{i}": function(each) for i, each in enumerate(calls)})


def graph(nodes, functions=None, answers=("answer:0",), restores="restore", run_once=()):
    library = [Message(signature=Message(name=name), node_def=body) for name, body in (functions or {}).items()]
    outputs = {name: Message(name=name) for name in answers}
    return Message(
        graph_def=Message(node=nodes, library=Message(function=library)),
        signature_def={"serving_default": Message(outputs=outputs)},
        saver_def=Message(restore_op_name=restores),
        collection_def={"main": Message(node_list=Message(value=list(run_once)))},
    )


# As a SavedModel is exported: the answer, the weights' way in, and their way out, each a function.
NODES = [
    node("x", "Placeholder"),
    node("answer", "StatefulPartitionedCall", "x", "w", calls=["infer"]),
    node("w", "VarHandleOp"),
    node("file", "Placeholder"),
    node("restore", "StatefulPartitionedCall", "file", "w", calls=["restoring"]),
    node("save", "StatefulPartitionedCall", "file", "w", calls=["saving"]),
]
FUNCTIONS = {
    "infer": [node("call", "PartitionedCall", calls=["inner"])],
    "inner": [node("y", "MatMul")],
    "restoring": [node("r", "RestoreV2"), node("a", "AssignVariableOp")],
    "saving": [node("s", "SaveV2"), node("m", "MergeV2Checkpoints")],
}


def test_an_exported_graph_may_be_loaded():
    check_graph(graph(NODES, FUNCTIONS))


@pytest.mark.parametrize("op", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "While", "RandomStandardNormal", "x"])
def test_what_is_not_listed_may_be_nowhere(op):
    with pytest.raises(CorruptVersion, match=op):
        check_graph(graph([*NODES, node("stray", op)], FUNCTIONS))
    with pytest.raises(CorruptVersion, match=op):
        check_graph(graph(NODES, FUNCTIONS | {"uncalled": [node("stray", op)]}))


@pytest.mark.parametrize("op", ["SaveV2", "AssignVariableOp", "RestoreV2"])
@pytest.mark.parametrize("where", ["infer", "inner"])
def test_an_answer_neither_writes_nor_reads_files_nor_changes_the_model(op, where):
    functions = FUNCTIONS | {where: [*FUNCTIONS[where], node("stray", op)]}
    with pytest.raises(CorruptVersion, match="part of an answer"):
        check_graph(graph(NODES, functions))


@pytest.mark.parametrize("to", ["x", "^x"])
def test_what_an_answer_waits_for_is_part_of_it(to):
    nodes = [node("x", "SaveV2"), node("answer", "MatMul", to)]
    with pytest.raises(CorruptVersion, match="SaveV2"):
        check_graph(graph(nodes))


def test_loading_does_not_write():
    functions = FUNCTIONS | {"restoring": [node("s", "SaveV2")]}
    with pytest.raises(CorruptVersion, match="part of loading"):
        check_graph(graph(NODES, functions))
    with pytest.raises(CorruptVersion, match="part of loading"):
        check_graph(graph(NODES, FUNCTIONS, run_once=["save"]))


def test_functions_that_call_each_other_are_followed_once():
    functions = {"infer": [node("c", "PartitionedCall", calls=["inner"])], "inner": [
        node("c", "PartitionedCall", calls=["infer"])
    ]}  # fmt: skip
    check_graph(graph(NODES[:3], functions))


def test_the_lists_do_not_overlap():
    assert not ALLOWED_OPS & (RESTORE_OPS | SAVE_OPS)
    assert not RESTORE_OPS & SAVE_OPS
