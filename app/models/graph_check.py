"""Check the graph of a version before it is loaded, in addition to the digests.

A SavedModel is a program: its operations run in this process, with its permissions. Digests prove that a version
matches its manifest, not that its author can be trusted. So, before anything runs, its graph is compared with lists of
allowed operations: those that our own export writes, and harmless arithmetic that another architecture would need.
Anyone who can write to the store could otherwise make the service read or write files (ReadFile, WriteFile, SaveV2),
call Python (PyFunc), contact other hosts (collective operations), loop forever (While), keep state between requests
(AssignVariableOp), or give different responses to equal requests (random operations).

`saved_model_cli scan` looks for three forbidden operations; a list of the allowed ones has no gaps.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.errors import CorruptVersion

# What signatures may compute with: no state, no files, no randomness, no loops, and as much memory as their inputs ask.
# fmt: off
ALLOWED_OPS = frozenset({
    "Abs", "Acos", "Add", "AddN", "AddV2", "All", "Any", "ArgMax", "ArgMin", "Asin", "Atan", "Atan2", "AvgPool",
    "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "BatchToSpaceND", "BiasAdd", "BroadcastTo", "Cast", "Ceil",
    "ClipByValue", "Concat", "ConcatV2", "Const", "Conv2D", "Conv2DBackpropInput", "Cos", "Cosh", "Cumsum",
    "DepthToSpace", "DepthwiseConv2dNative", "Div", "DivNoNan", "Einsum", "Elu", "Equal", "Erf", "Erfc", "Exp",
    "ExpandDims", "Expm1", "Fill", "Floor", "FloorDiv", "FloorMod", "FusedBatchNorm", "FusedBatchNormV2",
    "FusedBatchNormV3", "GatherNd", "GatherV2", "Greater", "GreaterEqual", "Identity", "IdentityN", "Inv",
    "IsFinite", "IsInf", "IsNan", "L2Loss", "LeakyRelu", "Less", "LessEqual", "Log", "Log1p", "LogSoftmax",
    "LogicalAnd", "LogicalNot", "LogicalOr", "MatMul", "Max", "MaxPool", "Maximum", "Mean", "Min", "Minimum",
    "MirrorPad", "Mul", "MulNoNan", "Neg", "NoOp", "NotEqual", "OneHot", "OnesLike", "Pack", "Pad", "PadV2",
    "PartitionedCall", "Placeholder", "PlaceholderWithDefault", "Pow", "PreventGradient", "Prod", "Range", "Rank",
    "ReadVariableOp", "RealDiv", "Reciprocal", "Relu", "Relu6", "Reshape", "ResizeBilinear",
    "ResizeNearestNeighbor", "ReverseV2", "Rint", "Round", "Rsqrt", "Select", "SelectV2", "Selu", "Shape", "ShapeN",
    "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Snapshot", "Softmax", "Softplus", "Softsign",
    "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Sqrt", "Square", "SquaredDifference", "Squeeze",
    "StatefulPartitionedCall", "StopGradient", "StridedSlice", "Sub", "Sum", "Tan", "Tanh", "Tile", "TopKV2",
    "Transpose", "Unpack", "VarHandleOp", "Xdivy", "Xlog1py", "Xlogy", "ZerosLike",
})
# fmt: on
# Reading the weights, once, while the version is loaded.
RESTORE_OPS = frozenset({"AssignVariableOp", "RestoreV2", "VarIsInitializedOp"})
# Every SavedModel can also save itself. That part may be there, as long as nothing that we run leads to it.
SAVE_OPS = frozenset(
    {"DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin"}
)


def check_graph(meta_graph: Any) -> None:
    """Refuse a graph that has an operation outside the lists, or in a part where it is not allowed.

    Args:
        meta_graph: a MetaGraphDef; all functions in its library are checked, whether they are called or not.

    Raises:
        CorruptVersion: an operation is not in the lists, or is not allowed in its part of the graph.
    """
    graph = _Graph(meta_graph.graph_def)
    _refuse(graph.operations() - ALLOWED_OPS - RESTORE_OPS - SAVE_OPS, "is not among those that a model may have")
    signatures = meta_graph.signature_def.values()
    answers = [output.name for signature in signatures for output in signature.outputs.values()]
    _refuse(graph.reached_from(answers) - ALLOWED_OPS, "may not be part of an answer")
    run_once = (name for each in meta_graph.collection_def.values() for name in each.node_list.value)
    loading = [meta_graph.saver_def.restore_op_name, *run_once]
    _refuse(graph.reached_from(loading) - ALLOWED_OPS - RESTORE_OPS, "may not be part of loading")


def _refuse(operations: Iterable[str], why: str) -> None:
    if strange := sorted(operations):
        raise CorruptVersion(f"The operation {strange[0][:80]!r} {why}. app/models/graph_check.py has the lists.")


class _Graph:
    """A GraphDef that can be searched for the operations that computing a node runs."""

    def __init__(self, graph_def: Any) -> None:
        self._nodes: dict[str, Any] = {node.name: node for node in graph_def.node}
        self._functions: Mapping[str, Any] = {each.signature.name: each.node_def for each in graph_def.library.function}

    def operations(self) -> set[str]:
        bodies = (*self._functions.values(), self._nodes.values())
        return {node.op for body in bodies for node in body}

    def reached_from(self, names: Iterable[str]) -> set[str]:
        """Return the operations of these nodes, of their inputs, and of the functions called on the way.

        All operations of a called function count, even if no output needs them: a side effect happens in any case.
        """
        found: dict[str, Any] = {}
        waiting = [_node_of(name) for name in names]
        while waiting:
            node = self._nodes.get(waiting.pop())
            if node is not None and node.name not in found:
                found[node.name] = node
                waiting += map(_node_of, node.input)
        return {node.op for node in (*found.values(), *self._called(found.values()))}

    def _called(self, nodes: Iterable[Any]) -> Iterator[Any]:
        seen: set[str] = set()
        waiting = [name for node in nodes for name in _functions_of(node)]
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._functions:
                continue
            seen.add(name)
            yield from self._functions[name]
            waiting += (inner for node in self._functions[name] for inner in _functions_of(node))


def _node_of(tensor: str) -> str:
    """Return the name of a tensor's node: `^name` is a control input, `name:1` an output of a node."""
    return tensor.removeprefix("^").partition(":")[0]


def _functions_of(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        yield from (each.name for each in (value.func, *value.list.func) if each.name)
