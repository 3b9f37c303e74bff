"""The backend of Gatehouse."""

__version__ = "1.4.0"
