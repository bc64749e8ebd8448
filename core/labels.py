"""The three classes: their names in files, in words, and their fixed order."""

LABELS = ("normal", "pneumonia", "tumour")
"""Names in manifests, run folders and results, in the order of every table and chart."""

NORMAL = LABELS[0]
"""The class without disease."""

TITLES = {"normal": "Normal", "pneumonia": "Pneumonia", "tumour": "Lung tumour"}
"""Names in words, for pages and reports."""


def title(label: str) -> str:
    """The class in words; a label of a run with other classes stands for itself."""
    return TITLES.get(label, label)
