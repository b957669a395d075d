"""What a study's trials show. Nothing here changes a study.

The summary is computed from a snapshot; the other modules stand alone.

    pages.py        trials page by page, and the best ones
    snapshot.py     a study with all its trials at one moment
    summary.py      a study's figures, from a snapshot
    importances.py  which parameters the values depend on
"""
