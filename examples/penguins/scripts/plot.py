# %% [markdown]
# # Plot
#
# Bill length against bill depth.

# %% tags=["parameters"]
upstream = ["clean"]
product = None

# %%
import matplotlib.pyplot as plt
import pandas as pd

# %%
df = pd.read_csv(upstream["clean"]["data"])

# %%
fig, ax = plt.subplots(figsize=(6, 4))
for species, group in df.groupby("species"):
    ax.scatter(group["bill_length_mm"], group["bill_depth_mm"], s=12, label=species)
ax.set(xlabel="bill length (mm)", ylabel="bill depth (mm)")
ax.legend()
fig.savefig(product["figure"], dpi=120)
