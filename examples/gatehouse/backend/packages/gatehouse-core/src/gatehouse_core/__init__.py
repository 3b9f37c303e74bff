"""What every part of Gatehouse's backend needs: its configuration and its key material."""

__version__ = "1.4.0"
