"""Python tasks."""

import sqlite3

import numpy as np
import pandas as pd


def load(product, sample):
    """Two years of made-up sales in a SQLite table; a sample run has a month of them."""
    days = pd.date_range("2024-01-01", periods=31 if sample else 731)
    rng = np.random.default_rng(11)
    rows = pd.DataFrame(
        {
            "day": np.repeat(days.strftime("%Y-%m-%d"), 3),
            "article": ["apple", "bread", "cheese"] * len(days),
            "pieces": rng.poisson([40, 25, 12], (len(days), 3)).ravel(),
        }
    )
    with sqlite3.connect(str(product)) as connection:
        rows.to_sql("sales", connection, index=False, if_exists="replace")
