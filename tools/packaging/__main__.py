"""Writes the generated files of `packaging/` and of the Helm chart: `python -m tools.packaging`."""

from tools.packaging import bill_of_materials, completions, helm_chart, man_pages

if __name__ == "__main__":
    bill_of_materials.main()
    man_pages.main()
    completions.main()
    helm_chart.main()
