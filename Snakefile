# The entry point, so that `snakemake all` works from the root of the checkout.
include: "workflows/Snakefile"
