import pytest

pytestmark = pytest.mark.slow


def test_the_signatures_are_those_of_the_contract(exported):
    import tensorflow as tf

    _, root = exported
    encoder = tf.saved_model.load(str(root / "encoder" / "1")).signatures["serving_default"]
    generator = tf.saved_model.load(str(root / "generator" / "1")).signatures["serving_default"]
    assert encoder.structured_input_signature[1] == {"image": tf.TensorSpec((None, 28, 28), tf.float32, "image")}
    assert set(encoder.structured_outputs) == {"z_mean", "z_log_var"}
    assert generator.structured_input_signature[1] == {"z": tf.TensorSpec((None, 2), tf.float32, "z")}
    (image,) = generator.structured_outputs.values()
    assert (image.dtype, image.shape.as_list()) == (tf.float32, [None, 28, 28])


def test_a_loader_that_runs_the_graph_as_it_stands_finds_every_weight(exported):
    """TensorFlow Serving restores through the graph's own restore operation, as the session loader does."""
    import tensorflow as tf

    _, root = exported
    for part in ("encoder", "generator"):
        graph = tf.Graph()
        with tf.compat.v1.Session(graph=graph) as session:
            tf.compat.v1.saved_model.loader.load(session, ["serve"], str(root / part / "1"))
            handles = [node.name for node in graph.as_graph_def().node if node.op == "VarHandleOp"]
            ready = [
                session.run(graph.get_operation_by_name(name).outputs[0].op.name + "/Read/ReadVariableOp:0")
                for name in handles
            ]
        assert len(ready) == {"encoder": 6, "generator": 4}[part]
