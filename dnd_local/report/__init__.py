"""The report: a static site of a run, cards for notebooks, figures for papers."""
