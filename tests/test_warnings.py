import warnings

import pytest


@pytest.mark.parametrize("kind", [DeprecationWarning, FutureWarning, SyntaxWarning])
def test_a_warning_is_an_error_unless_it_arises_in_tensorflow_or_keras(kind):
    for theirs in ("tensorflow.python.autograph.pyct.parser", "keras.src.layers.layer", "tensorflow"):
        warnings.warn_explicit("old", kind, "x.py", 1, module=theirs)
    for ours in ("training.model.autoencoder", "app.models.savedmodel", "tensorflow_serving", "numpy"):
        with pytest.raises(kind):
            warnings.warn_explicit("old", kind, "x.py", 1, module=ours)
