"""The Hub's identifiers of licences (https://huggingface.co/docs/hub/repositories-licenses, November 2026)."""

from __future__ import annotations

from difflib import get_close_matches

from promptmill.errors import ConfigurationError

_IDENTIFIERS = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0
etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community
h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 pddl postgresql
unknown unlicense wtfpl zlib other
"""
LICENSES = frozenset(_IDENTIFIERS.split())
# What people call some of them.
_CALLED = {
    "apache": "apache-2.0",
    "apache2": "apache-2.0",
    "bsd3": "bsd-3-clause",
    "bsd2": "bsd-2-clause",
    "cc0": "cc0-1.0",
    "ccby": "cc-by-4.0",
    "ccbysa": "cc-by-sa-4.0",
    "ccbync": "cc-by-nc-4.0",
    "ccbyncsa": "cc-by-nc-sa-4.0",
    "gplv2": "gpl-2.0",
    "gplv3": "gpl-3.0",
    "agpl": "agpl-3.0",
    "proprietary": "other",
}


def check_license(name: str | None) -> None:
    """Refuse a licence that the Hub has no identifier for.

    Raises:
        ConfigurationError: names the nearest.
    """
    if name is None or name in LICENSES:
        return
    near = _nearest(name)
    meant = f" Did you mean {near}?" if near else ""
    raise ConfigurationError(
        f"--license is {name!r}, which is none of the Hub's identifiers.{meant} They are listed on "
        "https://huggingface.co/docs/hub/repositories-licenses; for any other licence give `other`, and put its text "
        "into a file LICENSE in the repo."
    )


def _nearest(name: str) -> str | None:
    plain = _plain(name)
    by_plain = {_plain(known): known for known in sorted(LICENSES, reverse=True)} | _CALLED
    near = get_close_matches(plain, by_plain, n=1, cutoff=0.6)
    return by_plain[near[0]] if near else None


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold().replace("license", "").replace("licence", "") if char.isalnum())
