"""What the service runs."""

import importlib.metadata
import sys

import idna
import iniconfig
import markupsafe
import shop_plain


def main():
    print(sys.prefix, __file__, shop_plain.__file__)
    print(idna.encode("ü.example"), markupsafe.escape("<"), markupsafe._escape_inner.__module__, iniconfig.__name__)
    for d in sorted(importlib.metadata.distributions(), key=lambda d: d.name):
        print(d.name, d.read_text("direct_url.json") or "-")
