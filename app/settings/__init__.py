"""The service's settings, and the types of their values."""

from app.settings.settings import Settings

__all__ = ["Settings"]
