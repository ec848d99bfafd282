"""The installed release of digit-vae, as pyproject.toml gives it."""

from importlib import metadata


def release() -> str:
    """Return the release, such as 0.1.0; 0 for a checkout that is not installed."""
    try:
        return metadata.version("digit-vae")
    except metadata.PackageNotFoundError:
        return "0"
