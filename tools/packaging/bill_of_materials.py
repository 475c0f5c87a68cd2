"""Writes the wheel's bill of materials: `python -m tools.packaging.bill_of_materials`.

The wheel contains no other project's code. So its bill names Streamer, and the
packages that an installer must add, with the versions that Streamer accepts.
`make sbom` writes the exact versions that the image contains.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot7
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
BILL = ROOT / "packaging" / "streamer-salesforce.cdx.json"
"""The file that the wheel contains in `.dist-info/sboms/`."""


def bill() -> str:
    """Return the bill as CycloneDX, the same text for the same `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    streamer = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        description=project["description"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
        purl=PackageURL(type="pypi", name=project["name"], version=project["version"]),
        bom_ref=project["name"],
    )
    needed = [*_needed(project["dependencies"])]
    bom = Bom(components=needed)
    bom.metadata.component = streamer
    bom.register_dependency(streamer, needed)
    # Both would differ with each call.
    bom.serial_number, bom.metadata.timestamp = None, None  # type: ignore[assignment] # both are optional in the output
    return JsonV1Dot7(bom).output_as_string(indent=2) + "\n"


def main() -> None:
    """Write the bill."""
    BILL.write_text(bill(), encoding="utf-8")


def _needed(requirements: Iterable[str]) -> Iterable[Component]:
    for text in requirements:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        yield Component(
            name=name,
            type=ComponentType.LIBRARY,
            is_external=True,
            purl=PackageURL(type="pypi", name=name),
            properties=[Property(name="requirement", value=str(requirement))],
            bom_ref=name,
        )


if __name__ == "__main__":
    main()
