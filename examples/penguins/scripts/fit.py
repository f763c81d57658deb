# %% [markdown]
# # Fit
#
# A random forest that names the species.

# %% tags=["parameters"]
upstream = ["clean"]
product = None

# %%
import json
import pickle
from pathlib import Path

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

# %%
df = pd.read_csv(upstream["clean"]["data"])
X, y = df.drop(columns="species"), df["species"]

# %%
model = RandomForestClassifier(n_estimators=50, random_state=0)
scores = cross_val_score(model, X, y, cv=3)
print(f"accuracy {scores.mean():.3f}")

# %%
model.fit(X, y)
Path(product["model"]).write_bytes(pickle.dumps(model))
Path(product["metrics"]).write_text(json.dumps({"accuracy": round(scores.mean(), 4), "penguins": len(df)}, indent=2) + "\n")
