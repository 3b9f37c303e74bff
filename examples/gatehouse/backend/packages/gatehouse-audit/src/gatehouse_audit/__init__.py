"""Gatehouse's record of who signed in and what was changed: a Django application.

``record`` writes an event, ``gatehouse_audit.export`` turns events into an XML document for archives.
"""

__version__ = "1.4.0"
