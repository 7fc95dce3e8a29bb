rule catalogue:
    input:
        CATALOGUES,


# The only checkpoint: groups, recordings and stimuli are known from here on.
checkpoint catalogue_dataset:
    output:
        "data/catalogue/{dataset}-{key}.json",
    params:
        flags=lambda w, output: JOBS.flags("catalogue", JOBS.with_dataset[w.key]),
    log:
        "logs/catalogue/{dataset}-{key}.log",
    benchmark:
        "logs/catalogue/{dataset}-{key}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("catalogue_dataset"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline catalogue {params.flags:q} --log {log:q}"
