"""What the environment of the tests was installed as."""

from importlib.metadata import distributions


def installed_kind() -> str:
    """Return the kind of TensorFlow that is installed, as scripts/lib.sh names it: `cpu` or `gpu`."""
    names = (each.metadata["Name"] or "" for each in distributions())
    return "gpu" if any(name.startswith("nvidia-") for name in names) else "cpu"
