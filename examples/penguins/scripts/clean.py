# %% [markdown]
# # Clean
#
# Drops penguins with a missing measurement.

# %% tags=["parameters"]
upstream = ["load"]
product = None

# %%
import pandas as pd

# %%
df = pd.read_csv(upstream["load"]["data"])
clean = df.dropna()
print(f"dropped {len(df) - len(clean)} of {len(df)}")

# %%
clean.to_csv(product["data"], index=False)
