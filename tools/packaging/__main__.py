"""Writes the generated files of `packaging/`: `python -m tools.packaging`."""

from tools.packaging import bill_of_materials, completions, man_pages

if __name__ == "__main__":
    bill_of_materials.main()
    man_pages.main()
    completions.main()
