rule activate:
    input:
        CATALOGUES,
        lambda w: [path for analysis in ANALYSES.values() for path in activations_asked_for(analysis)],


rule activate_model:
    input:
        activation_inputs,
    output:
        directory("data/activations/{stimulus_folder}/{model}-{key}.zarr"),
    params:
        flags=lambda w, output: activation_flags(w),
    log:
        "logs/activate/{stimulus_folder}.{model}-{key}.log",
    benchmark:
        "logs/activate/{stimulus_folder}.{model}-{key}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
        gpu=int(config.get("device", "auto") == "cuda"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline activate {params.flags:q} --threads 1 --log {log:q}"
