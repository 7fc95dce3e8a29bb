rule activate:
    input:
        CATALOGUES,
        lambda w: JOBS.activations(),


rule activate_model:
    input:
        stimulus_shown,
        lambda w: JOBS.activation(w.stimulus_folder, w.model, w.key).weights,
    output:
        directory("data/activations/{stimulus_folder}/{model}-{key}.zarr"),
    params:
        flags=lambda w, output: JOBS.activation_flags(w.stimulus_folder, w.model, w.key),
    log:
        "logs/activate/{stimulus_folder}.{model}-{key}.log",
    benchmark:
        "logs/activate/{stimulus_folder}.{model}-{key}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("activate_model"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline activate {params.flags:q} --threads 1 --log {log:q}"
