"""What an operator can set, and the types of its values."""

from app.settings.settings import Settings

__all__ = ["Settings"]
