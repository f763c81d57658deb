"""The pipeline's tasks: each takes its upstream's products and writes its own."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def simulate(product, sample, customers):
    """Customers with a made-up history; a sample run makes a tenth of them."""
    count = customers // 10 if sample else customers
    rng = np.random.default_rng(3)
    months = rng.integers(1, 60, count)
    calls = rng.poisson(2, count)
    leaves = rng.random(count) < 1 / (1 + np.exp(0.08 * months - 0.6 * calls))
    frame = pd.DataFrame({"months": months, "support_calls": calls, "churned": leaves.astype(int)})
    frame.to_csv(product, index=False)


def features(product, upstream):
    """What the model looks at."""
    frame = pd.read_csv(upstream["simulate"])
    frame["calls_per_month"] = frame.support_calls / frame.months
    frame.to_csv(product, index=False)


def train(product, upstream):
    """A logistic regression and how well it does."""
    frame = pd.read_csv(upstream["features"])
    inputs, target = frame.drop(columns="churned"), frame.churned
    train_x, test_x, train_y, test_y = train_test_split(inputs, target, random_state=0, stratify=target)
    model = LogisticRegression(max_iter=500).fit(train_x, train_y)
    Path(product["model"]).write_bytes(pickle.dumps(model))
    report = {"accuracy": round(model.score(test_x, test_y), 4), "customers": len(frame)}
    Path(product["report"]).write_text(json.dumps(report, indent=2) + "\n")
