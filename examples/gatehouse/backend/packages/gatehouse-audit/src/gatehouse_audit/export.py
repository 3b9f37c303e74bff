"""Events as an XML document that archives can check against ``events.rng``."""

from collections.abc import Iterable
from datetime import datetime
from importlib import resources

from lxml import etree

from .models import Event

NAMESPACE = "urn:gatehouse:audit:1"


def export(events: Iterable[Event], exported: datetime) -> bytes:
    """The document, in UTF-8. It is checked against the schema before anybody gets it."""
    root = etree.Element(_name("events"), nsmap={None: NAMESPACE}, exported=exported.isoformat())
    for event in events:
        element = etree.SubElement(root, _name("event"), id=str(event.pk), kind=event.kind, time=event.time.isoformat())
        for name, text in (
            ("user", event.username),
            ("address", event.client_ip),
            ("agent", event.user_agent),
            ("subject", event.subject),
        ):
            if text:
                etree.SubElement(element, _name(name)).text = _printable(text)
    schema().assertValid(root)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def schema() -> etree.RelaxNG:
    with resources.files(__package__).joinpath("events.rng").open("rb") as file:
        return etree.RelaxNG(etree.parse(file))


def _name(local: str) -> etree.QName:
    return etree.QName(NAMESPACE, local)


def _printable(text: str) -> str:
    """A client chooses its user agent; control characters in it have no place in XML."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
