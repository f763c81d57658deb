# %% [markdown]
# # Load
#
# Reads the measurements; a sample run takes every fifth row.

# %% tags=["parameters"]
upstream = None
product = None
sample = None

# %%
import pandas as pd

# %%
df = pd.read_csv("data/penguins.csv")
if sample:
    df = df.iloc[::5]
print(f"{len(df)} penguins, sample={sample}")

# %%
df.to_csv(product["data"], index=False)
