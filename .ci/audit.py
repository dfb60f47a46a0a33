"""Look for known vulnerabilities in the pinned libraries: `make audit`.

pip-audit has an environment of its own, as it needs twenty packages that a run does not. Where it cannot be
installed, or its database cannot be asked, the audit is skipped with a word: no network is no failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VERSION = "pip-audit==2.10.1"


def main() -> int:
    """0 if nothing is known or nobody could be asked, 1 if something is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-audit", help="where pip-audit lies")
    parser.add_argument("--service", default="pypi", help="the database: pypi or osv")
    options = parser.parse_args()
    tool, why = installed(options.environment)
    found, why = (None, why) if tool is None else audited(tool, options.service)
    if found is None:
        say(f"Skipped: {why}. Run `make audit` where there is internet.")
        return 0
    return told(found)


def installed(environment: Path) -> tuple[Path | None, str]:
    """pip-audit, installed first if it is not there; or why it cannot be."""
    tool = environment / "bin" / "pip-audit"
    if tool.exists():
        return tool, ""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for command in ([sys.executable, "-m", "venv", str(environment)], [*pip, VERSION]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return None, f"pip-audit could not be installed ({last_line(done.stderr)})"
    return tool, ""


def audited(tool: Path, service: str) -> tuple[dict[str, Any] | None, str]:
    """What pip-audit found; or why it could not ask. It ends with 1 in both cases, but writes only in one."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "found.json"
        command = [tool, "--requirement", ROOT / "constraints.txt", "--no-deps", "--disable-pip", "--format", "json"]
        command += ["--output", result, "--progress-spinner", "off", "--vulnerability-service", service]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if not result.exists() or not result.stat().st_size:
            return None, f"the database of vulnerabilities could not be asked ({last_line(done.stderr)})"
        found: dict[str, Any] = json.loads(result.read_bytes())
    skipped = [package["skip_reason"] for package in found["dependencies"] if "skip_reason" in package]
    if len(skipped) == len(found["dependencies"]):  # a package index that has no such database behind it
        return (
            None,
            f"the database of vulnerabilities knows none of the libraries ({skipped[0] if skipped else 'none'})",
        )
    return found, ""


def told(found: dict[str, Any]) -> int:
    """Say what was found."""
    packages = [package for package in found["dependencies"] if "vulns" in package]
    unknown = [package["name"] for package in found["dependencies"] if "vulns" not in package]
    bad = [(package, vulnerability) for package in packages for vulnerability in package["vulns"]]
    for package, vulnerability in bad:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        say(f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    if unknown:
        say(f"Not looked up: {', '.join(unknown)}")
    say(f"{len(bad)} known vulnerabilities in {len(packages)} pinned libraries.")
    return 1 if bad else 0


def last_line(text: str) -> str:
    """The end of what a program said."""
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "without a word"


def say(text: str) -> None:
    """One line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
